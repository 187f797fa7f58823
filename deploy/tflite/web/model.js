// A classifier: a .tflite file with its JSON, from one picture to probabilities.

import { check, load, Problem, shapes } from "./litert.js";

/**
 * Opens a model.
 *
 * @param {{name: string, bytes: Uint8Array, description: object}} file
 * @returns `{name, description, run, clock, close}`: `run(array)` gives the outputs as
 *   `{values, probabilities}`, `clock(array)` milliseconds.
 */
export async function openModel(file) {
  const { name, description } = file;
  await check(file);
  checkClassifier(name, description);
  const { run, clock, close } = await load(file);
  return {
    name, description, close,
    async run(array) {
      const [values] = await run([array]);
      return { values, probabilities: probabilities(values, description.output) };
    },
    clock: (array, least) => clock([array], least),
  };
}

function checkClassifier(name, description) {
  const { input, output, tracker } = description;
  if (tracker) {
    throw new Problem(`${name} is part of a tracker, which runs on the page track.html.`);
  }
  const image = !Array.isArray(input) && input.shape.length === 4 && input.range &&
    [1, 3].includes(input.shape[3]) && !Array.isArray(output) && output.shape.length === 2;
  if (!image) throw new Problem(`${name} is no image classifier: ${shapes(description)}.`);
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
