"""Real images inside the package: a part of Fashion-MNIST, nine photographs, and videos
made of their parts."""

import pathlib

DIRECTORY = pathlib.Path(__file__).parent / "fashion_mnist_subset" / "1.0.0"
PHOTOGRAPHS = pathlib.Path(__file__).parent / "photographs"
SEQUENCES = pathlib.Path(__file__).parent / "sequences"
