// From a picture to the numbers that a network takes: the arithmetic of the training's
// decoder (Pillow), bit for bit. A canvas would resize otherwise in every browser.

import { held } from "./tensors.js";

const PRECISION = 22; // bits of the fixed-point weights, as in Pillow

/**
 * Resizes bilinearly with antialiasing: a triangle as wide as the reduction, rows first.
 *
 * @param {Uint8Array} pixels height x width x channels.
 * @param {number[]} box left, top, right, bottom of the part that is taken.
 * @returns {Uint8Array} newHeight x newWidth x channels.
 */
export function resize(
  pixels, height, width, channels, newHeight, newWidth, box = [0, 0, width, height],
) {
  const [left, top, right, bottom] = box.map(Math.fround); // as Pillow takes them
  const rows = new Uint8Array(height * newWidth * channels);
  contract(pixels, rows, weights(width, newWidth, left, right), {
    lines: height, line: width * channels, newLine: newWidth * channels,
    step: channels, channels,
  });
  const result = new Uint8Array(newHeight * newWidth * channels);
  contract(rows, result, weights(height, newHeight, top, bottom), {
    lines: newWidth, line: channels, newLine: channels,
    step: newWidth * channels, channels,
  });
  return result;
}

/** For each new position the first old one that counts, and the old ones' weights. */
function weights(size, newSize, low, high) {
  const scale = (high - low) / newSize;
  const support = Math.max(scale, 1);
  return Array.from({ length: newSize }, (_, at) => {
    const center = low + (at + 0.5) * scale;
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const last = Math.min(Math.trunc(center + support + 0.5), size);
    const found = [];
    for (let x = first; x < last; x++) {
      found.push(Math.max(0, 1 - Math.abs((x - center + 0.5) / support)));
    }
    const sum = found.reduce((a, b) => a + b, 0);
    return {
      first,
      weights: Int32Array.from(found, (w) => Math.trunc(0.5 + (w / sum) * 2 ** PRECISION)),
    };
  });
}

function contract(from, to, table, { lines, line, newLine, step, channels }) {
  const half = 1 << (PRECISION - 1);
  for (let l = 0; l < lines; l++) {
    for (let at = 0; at < table.length; at++) {
      const { first, weights } = table[at];
      const count = weights.length;
      for (let c = 0; c < channels; c++) {
        let sum = half; // stays below 2 ** 31
        let source = l * line + first * step + c;
        for (let k = 0; k < count; k++, source += step) {
          sum = (sum + Math.imul(from[source], weights[k])) | 0;
        }
        to[l * newLine + at * step + c] = Math.min(sum >> PRECISION, 255);
      }
    }
  }
}

/** RGBA to RGB or to grey, ITU-R 601 luma; transparency is dropped. */
export function channelsOf(rgba, channels) {
  const pixels = new Uint8Array((rgba.length / 4) * channels);
  for (let i = 0, j = 0; i < rgba.length; i += 4) {
    const [r, g, b] = [rgba[i], rgba[i + 1], rgba[i + 2]];
    if (channels === 1) {
      pixels[j++] = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
    } else {
      pixels[j++] = r;
      pixels[j++] = g;
      pixels[j++] = b;
    }
  }
  return pixels;
}

/**
 * The input tensor of a file for one picture.
 *
 * @param {ImageData} picture
 * @param {object} input of the file's JSON: shape, dtype, range, quantization.
 * @returns {Float32Array|Int8Array|Uint8Array}
 */
export function tensorOf(picture, input) {
  const [, height, width, channels] = input.shape;
  return tensorOfPixels(resize(
    channelsOf(picture.data, channels), picture.height, picture.width, channels,
    height, width,
  ), input);
}

/** The input tensor of a file for pixels that have its size. */
export function tensorOfPixels(pixels, input) {
  const [low, high] = input.range;
  const values = new Float32Array(pixels.length);
  for (let k = 0; k < pixels.length; k++) values[k] = low + (pixels[k] / 255) * (high - low);
  return held(values, input);
}
