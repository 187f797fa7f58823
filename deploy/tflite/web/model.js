// A .tflite file with its JSON, ready to run.

import { loadLiteRt } from "@litertjs/core";

/** An error whose text is meant for the reader of the page. */
export class Problem extends Error {}

const ARRAYS = { float32: Float32Array, int8: Int8Array, uint8: Uint8Array };
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

/**
 * Opens a model.
 *
 * LiteRT's Tensor class has no int8, so this goes one level below it, to the bindings:
 * the same calls serve floats and integers.
 *
 * @param {{name: string, bytes: Uint8Array, description: object}} file
 * @returns `{name, description, run, clock, close}`: `run(array)` gives the outputs as
 *   `{values, probabilities}`, `clock(array)` milliseconds.
 */
export async function openModel({ name, bytes, description }) {
  await check(name, bytes, description);
  const liteRt = await litert();
  const wasm = liteRt.liteRtWasm;
  const environment = liteRt.getDefaultEnvironment().liteRtEnvironment;
  const place = wasm._malloc(bytes.byteLength);
  wasm.HEAPU8.set(bytes, place);
  let model, compiled, type, buffer;
  try {
    model = wasm.loadModel(environment, place, bytes.byteLength);
    compiled = await wasm.compileModel(environment, model, {
      accelerator: "wasm", cpuOptions: { numThreads: 1 }, gpuOptions: {}, webNNOptions: {},
    });
    type = model.getInputTensorType(0, 0);
    buffer = wasm.LiteRtTensorBuffer.createManaged(
      environment, wasm.LiteRtTensorBufferType.HOST_MEMORY, type, type.bytes(),
    );
  } catch (error) {
    wasm._free(place);
    throw new Problem(`${name} does not run in LiteRT: ${error.message ?? error}`);
  }

  function fill(array) {
    const content = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    const start = buffer.lock(wasm.LiteRtTensorBufferLockMode.WRITE);
    wasm.HEAPU8.set(content, start);
    buffer.unlock();
  }

  async function run(array) {
    fill(array);
    const [output] = await compiled.run(0, [buffer]);
    const start = output.lock(wasm.LiteRtTensorBufferLockMode.READ);
    const content = wasm.HEAPU8.slice(start, start + output.packedSize());
    output.unlock();
    output.delete();
    const { dtype } = description.output;
    const values = realValues(new ARRAYS[dtype](content.buffer), description.output);
    return { values, probabilities: probabilities(values, description.output) };
  }

  /** Milliseconds of one run, over as many as take `least`: browsers' clocks are coarse. */
  async function clock(array, least = 10) {
    fill(array);
    const started = performance.now();
    for (let runs = 1; ; runs++) {
      const outputs = await compiled.run(0, [buffer]);
      outputs.forEach((output) => output.delete());
      const passed = performance.now() - started;
      if (passed >= least) return passed / runs;
    }
  }

  function close() {
    for (const each of [buffer, type, compiled, model]) each.delete();
    wasm._free(place);
  }

  return { name, description, run, clock, close };
}

async function check(name, bytes, description) {
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
  const { input, output } = description;
  const image = !Array.isArray(input) && input.shape.length === 4 && input.range &&
    [1, 3].includes(input.shape[3]) && !Array.isArray(output) && output.shape.length === 2;
  if (!image) throw new Problem(`${name} is no image classifier: ${shapes(description)}.`);
  if (input.shape[0] !== 1) {
    throw new Problem(`${name} takes ${input.shape[0]} images at once; export it with a batch ` +
      "of one.");
  }
  for (const tensor of [input, output]) {
    if (!(tensor.dtype in ARRAYS)) throw new Problem(`${name} has a ${tensor.dtype} tensor.`);
  }
}

async function digest(bytes) {
  // Browsers offer it on https and localhost only; elsewhere the names must do.
  if (!globalThis.crypto?.subtle) return undefined;
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function shapes({ input, output }) {
  const text = (tensors) => [tensors].flat().map((t) => t.shape.join("x")).join(" and ");
  return `it takes ${text(input)} and gives ${text(output)}`;
}

function realValues(array, { quantization }) {
  if (!quantization) return Float32Array.from(array);
  const { scale, zero_point: zero } = quantization;
  return Float32Array.from(array, (n) => Math.fround(n - zero) * Math.fround(scale));
}

function probabilities(values, { logits }) {
  const sum = values.reduce((a, b) => a + b, 0);
  const are = logits === false ||
    (logits === null && values.every((v) => v >= 0) && Math.abs(sum - 1) < 0.05);
  if (are) return values;
  const most = Math.max(...values);
  const powers = values.map((v) => Math.exp(v - most));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((p) => p / total);
}
