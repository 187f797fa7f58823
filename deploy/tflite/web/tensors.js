// Numbers as the tensors of a file hold them, and back.

const ARRAYS = { float32: Float32Array, int8: Int8Array, uint8: Uint8Array };
const LIMITS = { int8: [-128, 127], uint8: [0, 255] };

/** The kinds of tensors there are arrays for. */
export const DTYPES = Object.keys(ARRAYS);

/**
 * Real values as a tensor holds them.
 *
 * @param {Float32Array} values
 * @param {object} tensor of the file's JSON: dtype, quantization.
 * @returns {Float32Array|Int8Array|Uint8Array}
 */
export function held(values, { dtype, quantization }) {
  if (dtype === "float32") return values;
  const { scale, zero_point: zero } = quantization;
  const [least, most] = LIMITS[dtype];
  return ARRAYS[dtype].from(values, (value) =>
    Math.min(Math.max(evenly(Math.fround(value / Math.fround(scale))) + zero, least), most));
}

/**
 * The real values of a tensor.
 *
 * @param {Uint8Array} bytes what it holds, an array of its own.
 * @param {object} tensor of the file's JSON.
 * @returns {Float32Array}
 */
export function real(bytes, { dtype, quantization }) {
  const array = new ARRAYS[dtype](bytes.buffer);
  if (dtype === "float32") return array;
  const { scale, zero_point: zero } = quantization;
  return Float32Array.from(array, (n) => Math.fround(n - zero) * Math.fround(scale));
}

/** Rounds halves to even, as NumPy and LiteRT do. */
function evenly(value) {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
