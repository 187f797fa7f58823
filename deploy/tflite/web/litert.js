// A .tflite file with its JSON, ready to run.

import { loadLiteRt } from "@litertjs/core";
import { DTYPES, real } from "./tensors.js";

/** An error whose text is meant for the reader of the page. */
export class Problem extends Error {}

let runtime = null;

/** Loads LiteRT once; its files come from node_modules, nothing from the network. */
async function litert() {
  const folder = new URL("./node_modules/@litertjs/core/wasm/", import.meta.url).href;
  runtime ??= loadLiteRt(folder).catch(() => {
    runtime = null;
    throw new Problem(
      "LiteRT could not be started. Run npm install in this folder, and use a browser " +
      "with WebAssembly SIMD.",
    );
  });
  return runtime;
}

/** Throws a Problem unless a file and its JSON belong together, and take one example. */
export async function check({ name, bytes, description }) {
  const beside = name.replace(/\.tflite$/, ".json");
  if (description?.format !== "hh_keras.tflite") {
    throw new Problem(
      `${name} has no description: ${beside}, which the export writes beside it, is missing ` +
      "or something else.",
    );
  }
  const sum = await digest(bytes);
  if (sum && sum !== description.sha256) {
    throw new Problem(`${beside} describes another file than this ${name}; take both from ` +
      "one export.");
  }
  const tensors = [description.input, description.output].flat();
  if (tensors[0].shape[0] !== 1) {
    throw new Problem(`${name} takes ${tensors[0].shape[0]} images at once; export it with a ` +
      "batch of one.");
  }
  for (const { dtype } of tensors) {
    if (!DTYPES.includes(dtype)) throw new Problem(`${name} has a ${dtype} tensor.`);
  }
}

async function digest(bytes) {
  // Browsers offer it on https and localhost only; elsewhere the names must do.
  if (!globalThis.crypto?.subtle) return undefined;
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What a file takes and gives, in words. */
export function shapes({ input, output }) {
  const text = (tensors) => [tensors].flat().map((t) => t.shape.join("x")).join(" and ");
  return `it takes ${text(input)} and gives ${text(output)}`;
}

/**
 * Loads a file.
 *
 * LiteRT's Tensor class has no int8, so this goes one level below it, to the bindings:
 * the same calls serve floats and integers.
 *
 * @param {{name: string, bytes: Uint8Array, description: object}} file which `check` let
 *   pass.
 * @returns `{run, clock, close}`: `run(arrays)` takes an array for each input, as the
 *   tensors hold them, and gives the real values of all outputs, both in the order of the
 *   JSON; `clock(arrays)` gives milliseconds.
 */
export async function load({ name, bytes, description }) {
  const liteRt = await litert();
  const wasm = liteRt.liteRtWasm;
  const environment = liteRt.getDefaultEnvironment().liteRtEnvironment;
  const place = wasm._malloc(bytes.byteLength);
  wasm.HEAPU8.set(bytes, place);
  const [inputs, outputs] = [[description.input].flat(), [description.output].flat()];
  const made = []; // to be deleted in the end, the last first
  let compiled, from, to;
  const buffers = [];
  try {
    const model = keep(wasm.loadModel(environment, place, bytes.byteLength));
    compiled = keep(await wasm.compileModel(environment, model, {
      accelerator: "wasm", cpuOptions: { numThreads: 1 }, gpuOptions: {}, webNNOptions: {},
    }));
    const signature = keep(model.getSignature(0));
    from = places(signature.inputNames(), inputs);
    to = places(signature.outputNames(), outputs);
    for (const [index] of inputs.entries()) {
      const type = keep(model.getInputTensorType(0, index));
      buffers.push(keep(wasm.LiteRtTensorBuffer.createManaged(
        environment, wasm.LiteRtTensorBufferType.HOST_MEMORY, type, type.bytes(),
      )));
    }
  } catch (error) {
    close();
    throw new Problem(`${name} does not run in LiteRT: ${error.message ?? error}`);
  }

  function keep(object) {
    made.push(object);
    return object;
  }

  function close() {
    while (made.length) made.pop().delete();
    wasm._free(place);
  }

  function fill(arrays) {
    for (const [index, array] of arrays.entries()) {
      const buffer = buffers[from[index]];
      const content = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
      const start = buffer.lock(wasm.LiteRtTensorBufferLockMode.WRITE);
      wasm.HEAPU8.set(content, start);
      buffer.unlock();
    }
  }

  async function run(arrays) {
    fill(arrays);
    const found = await compiled.run(0, buffers);
    const contents = found.map((output) => {
      const start = output.lock(wasm.LiteRtTensorBufferLockMode.READ);
      const content = wasm.HEAPU8.slice(start, start + output.packedSize());
      output.unlock();
      output.delete();
      return content;
    });
    return outputs.map((output, index) => real(contents[to[index]], output));
  }

  /** Milliseconds of one run, over as many as take `least`: browsers' clocks are coarse. */
  async function clock(arrays, least = 10) {
    fill(arrays);
    const started = performance.now();
    for (let runs = 1; ; runs++) {
      const found = await compiled.run(0, buffers);
      found.forEach((output) => output.delete());
      const passed = performance.now() - started;
      if (passed >= least) return passed / runs;
    }
  }

  return { run, clock, close };
}

/** For each tensor of the JSON, which of LiteRT's it is. */
function places(names, tensors) {
  const found = Array.from({ length: names.size() }, (_, index) => names.get(index));
  names.delete();
  return tensors.map(({ name }) => {
    const place = found.indexOf(name);
    if (place < 0) throw new Error(`it has no tensor ${name}, but ${found.join(", ")}`);
    return place;
  });
}
