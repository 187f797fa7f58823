"""Runs a .tflite file on the arrays of a .npy file; needs LiteRT and numpy only."""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter

path, given, put = sys.argv[1:]
interpreter = Interpreter(path, num_threads=1)
interpreter.allocate_tensors()
first, last = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
outputs = []
for image in np.load(given):
    interpreter.set_tensor(first["index"], image[None].astype(first["dtype"]))
    interpreter.invoke()
    outputs.append(interpreter.get_tensor(last["index"])[0])
np.save(put, np.stack(outputs))
