// A tracker: two .tflite files, and the loop around them. The arithmetic is that of
// hh_keras/tasks/tracking/following/tracker.py, so that both tell the same boxes, and
// the ranges of settings are those of settings.py beside it.

import { check, load, Problem } from "./litert.js";
import { resize, tensorOfPixels } from "./pixels.js";
import { held } from "./tensors.js";

const SAMPLES = 64; // along the shorter side, of which a mean colour is taken
const RANGES = {
  rate: [0, 1], renew_every: [1, Infinity], scale_every: [1, Infinity],
  scale_rate: [0, 1], sides_rate: [0, 1], scale_penalty: [0, 1], window: [0, 1],
  lost: [-10, 10], grow: [1, Infinity],
};
const SCALES = [0.25, 4];

/**
 * Opens a tracker.
 *
 * @param {object[]} files exemplar and search, see `litert.js`.
 * @returns {Promise<Tracker>}
 */
export async function openTracker(files) {
  for (const [index, part] of ["exemplar", "search"].entries()) {
    await check(files[index]);
    checkPart(files[index], part);
  }
  const [exemplar, search] = files.map((file) => file.description);
  const [image, ...kernel] = [search.input].flat();
  const made = [exemplar.output].flat();
  if (String(kernel.map((t) => t.shape)) !== String(made.map((t) => t.shape))) {
    throw new Problem(`${files[0].name} and ${files[1].name} are of two trackers: take both ` +
      "from one export.");
  }
  const loaded = [];
  try {
    for (const file of files) loaded.push(await load(file));
  } catch (error) {
    loaded.forEach((each) => each.close());
    throw error;
  }
  return new Tracker([exemplar, search], image.shape[1], {
    exemplar: (pixels) => loaded[0].run([tensorOfPixels(pixels, exemplar.input)]),
    search: async (pixels, values) => (await loaded[1].run([
      tensorOfPixels(pixels, image), ...values.map((each, k) => held(each, kernel[k])),
    ]))[0],
    close: () => loaded.forEach((each) => each.close()),
  });
}

function checkPart({ name, description }, part) {
  const { tracker } = description;
  if (!tracker) {
    throw new Problem(`${name} is no part of a tracker: its .json has no section "tracker". ` +
      "A classifier runs on the page index.html; a tracker of an older export must be " +
      "exported again.");
  }
  if (tracker.part !== part) {
    throw new Problem(`${name} is the part "${tracker.part}" of a tracker, where "${part}" ` +
      "is needed: has it been renamed?");
  }
  if (part === "search") checkTold(name.replace(/\.tflite$/, ".json"), description);
}

/** A .json can be edited, and an older one tells less than is needed. */
function checkTold(name, { output, tracker }) {
  const { cells, sides, settings = {} } = tracker;
  const within = (value, [low, high]) =>
    typeof value === "number" && value >= low && value <= high;
  for (const [setting, range] of Object.entries(RANGES)) {
    const value = settings[setting], counted = setting.endsWith("_every");
    if (!within(value, range) || (counted && !Number.isInteger(value))) {
      throw new Problem(`${name}: the setting ${setting} is ${JSON.stringify(value)}, a ` +
        `${counted ? "whole " : ""}number from ${range.join(" to ")} is needed: put that ` +
        "right, or export the tracker again.");
    }
  }
  const { scales } = settings;
  if (!Array.isArray(scales) || !scales.includes(1) || !scales.every((x) => within(x, SCALES))) {
    throw new Problem(`${name}: the setting scales is ${JSON.stringify(scales)}, a list of ` +
      `factors from ${SCALES.join(" to ")} is needed, one of which is 1.`);
  }
  const told = [1, cells, cells, sides ? 5 : 1];
  const { shape } = [output].flat()[0];
  if (String(told) !== String(shape)) {
    throw new Problem(`${name}: "cells" and "sides" tell of a map ${told.join("x")}, the ` +
      `file's is ${shape.join("x")}: export the tracker again.`);
  }
}

/** One target, followed. Boxes are left, top, width, height, in the frame's pixels. */
export class Tracker {
  /**
   * @param {object[]} descriptions the JSON of both files.
   * @param {number} side of the networks' images.
   * @param {object} run `exemplar(pixels)` makes a kernel, `search(pixels, kernel)` the
   *   map; `close()` frees both.
   */
  constructor(descriptions, side, run) {
    Object.assign(this, { descriptions, told: descriptions[1].tracker, side, run });
    // Kernels of four axes are features: the first frame's are kept.
    const [, ...kernel] = [descriptions[1].input].flat();
    this.renewed = kernel.map(({ shape }) => shape.length !== 4);
    this.believes = this.told.sides && this.told.settings.sides_rate > 0;
  }

  /** Takes the target of a frame, an ImageData, by its box. */
  async start(frame, [left, top, width, height]) {
    this.centre = [left + width / 2, top + height / 2];
    this.size = [width, height];
    this.first = Math.sqrt(width * height);
    this.frame = [frame.width, frame.height];
    this.frames = 0;
    this.kernel = await this.run.exemplar(this.pixelsOf(frame, meanColour(frame)));
  }

  /** Finds the target in the next frame: `{box, score, lost}`. */
  async update(frame) {
    this.resizeTo(frame);
    this.frames++;
    const { context, cells, sides, settings } = this.told;
    const base = Math.sqrt(this.size[0] * this.size[1]);
    const scales = this.scales();
    const fill = meanColour(frame);
    const maps = [];
    for (const scale of scales) {
      const pixels = crop(frame, this.centre, context * base * scale, this.side, fill);
      maps.push(await this.run.search(pixels, this.kernel));
    }
    const { best, row, column } = peak(maps, scales, this.told);
    const map = maps[best], depth = sides ? 5 : 1;
    const at = (y, x) => map[(y * cells + x) * depth];
    const score = at(row, column);
    const cell = (context * base * scales[best]) / cells;
    let place = [column + 0.5 - cells / 2, row + 0.5 - cells / 2];
    let size = this.size.map((each) => each * scales[best]);
    if (this.believes) {
      const start = (row * cells + column) * depth + 1;
      const [left, top, right, bottom] = Array.from(
        map.subarray(start, start + 4), (each) => each * base,
      );
      place = [place[0] + (right - left) / 2 / cell, place[1] + (bottom - top) / 2 / cell];
      size = [left + right, top + bottom];
    } else {
      const line = Array.from({ length: cells }, (_, k) => k);
      place[0] += between(line.map((x) => at(row, x)), column);
      place[1] += between(line.map((y) => at(y, column)), row);
    }
    this.centre = this.centre.map(
      (each, k) => clip(each + place[k] * cell, 0, this.frame[k]),
    );
    const lost = !(score > settings.lost);
    if (!lost) {
      this.grow(size);
      if (settings.rate && this.frames % settings.renew_every === 0) {
        await this.renew(frame, fill);
      }
    }
    const box = [
      ...this.centre.map((each, k) => each - this.size[k] / 2), ...this.size,
    ];
    return { box, score, lost };
  }

  /** The sizes that are tried in this frame, as factors. */
  scales() {
    const { scales, scale_every } = this.told.settings;
    return this.believes || this.frames % scale_every ? [1] : scales;
  }

  /** Takes over a part of a new size. */
  grow(size) {
    const { scale_rate, sides_rate, grow } = this.told.settings;
    const rate = this.believes ? sides_rate : scale_rate;
    const mixed = this.size.map(
      (each, k) => each ** (1 - rate) * Math.max(size[k], 1e-3) ** rate,
    );
    const mean = Math.sqrt(mixed[0] * mixed[1]);
    const factor = clip(mean, this.first / grow, this.first * grow) / mean;
    this.size = mixed.map((each, k) => clip(each * factor, 2, this.frame[k]));
  }

  /** Takes over a part of the filters that the target has now. */
  async renew(frame, fill) {
    if (!this.renewed.includes(true)) return;
    const { rate } = this.told.settings;
    const own = await this.run.exemplar(this.pixelsOf(frame, fill));
    for (const [k, old] of this.kernel.entries()) {
      if (!this.renewed[k]) continue;
      for (let n = 0; n < old.length; n++) old[n] = (1 - rate) * old[n] + rate * own[k][n];
    }
  }

  /** What a network sees of a frame around the target. */
  pixelsOf(frame, fill) {
    const side = this.told.context * Math.sqrt(this.size[0] * this.size[1]);
    return crop(frame, this.centre, side, this.side, fill);
  }

  /** Frames of another size show the same picture, resized: a camera that was turned. */
  resizeTo({ width, height }) {
    const factor = [width / this.frame[0], height / this.frame[1]];
    this.centre = this.centre.map((each, k) => each * factor[k]);
    this.size = this.size.map((each, k) => each * factor[k]);
    this.first *= Math.sqrt(factor[0] * factor[1]);
    this.frame = [width, height];
  }

  close() {
    this.run.close();
  }
}

/** The best place of the maps, where the target is expected near where it was. */
function peak(maps, scales, { cells, sides, settings }) {
  const depth = sides ? 5 : 1;
  let most = -Infinity;
  for (const map of maps) {
    for (let k = 0; k < map.length; k += depth) most = Math.max(most, map[k]);
  }
  const cosine = Array.from({ length: cells },
    (_, k) => 0.5 - 0.5 * Math.cos((2 * Math.PI * (k + 1)) / (cells + 1)));
  const found = { best: 0, row: 0, column: 0 };
  let value = -Infinity;
  for (const [best, map] of maps.entries()) {
    const factor = scales[best] === 1 ? 1 : settings.scale_penalty;
    for (let row = 0; row < cells; row++) {
      for (let column = 0; column < cells; column++) {
        const seen = factor * (
          (1 - settings.window) * map[(row * cells + column) * depth] +
          settings.window * cosine[row] * cosine[column] * most);
        if (seen > value) {
          value = seen;
          Object.assign(found, { best, row, column });
        }
      }
    }
  }
  return found;
}

/** How far from a cell the peak is, by a parabola. */
function between(line, place) {
  if (place <= 0 || place >= line.length - 1) return 0;
  const [a, b, c] = line.slice(place - 1, place + 2);
  const bend = a - 2 * b + c;
  return bend < 0 ? clip((a - c) / (2 * bend), -0.5, 0.5) : 0;
}

const clip = (value, least, most) => Math.min(Math.max(value, least), most);

/** RGB: what is put where a square reaches past the frame. */
function meanColour({ data, width, height }) {
  const step = Math.max(1, Math.floor(Math.min(width, height) / SAMPLES));
  const sum = [0, 0, 0];
  let count = 0;
  for (let y = 0; y < height; y += step) {
    for (let x = 0; x < width; x += step, count++) {
      for (let c = 0; c < 3; c++) sum[c] += data[(y * width + x) * 4 + c];
    }
  }
  return sum.map((each) => Math.trunc(each / count + 0.5));
}

/**
 * Cuts a square out of a frame and resizes it, bilinear, antialiased where it shrinks.
 *
 * @param {ImageData} frame
 * @param {number[]} centre of the square: across, down.
 * @param {number} side of the square, in the frame's pixels.
 * @param {number} size pixels on a side of the result.
 * @param {number[]} fill the colour outside of the frame.
 * @returns {Uint8Array} size x size x 3.
 */
export function crop(frame, centre, side, size, fill) {
  const low = centre.map((each) => each - side / 2);
  const first = low.map((each) => Math.floor(each) - 1);
  const [across, down] = low.map((each, k) => Math.ceil(each + side) + 1 - first[k]);
  const square = new Uint8Array(across * down * 3);
  const { data, width, height } = frame;
  for (let y = 0, to = 0; y < down; y++) {
    const row = first[1] + y;
    const there = row >= 0 && row < height;
    for (let x = 0; x < across; x++, to += 3) {
      const column = first[0] + x;
      const inside = there && column >= 0 && column < width;
      const from = 4 * (row * width + column);
      square[to] = inside ? data[from] : fill[0];
      square[to + 1] = inside ? data[from + 1] : fill[1];
      square[to + 2] = inside ? data[from + 2] : fill[2];
    }
  }
  const [left, top] = low.map((each, k) => each - first[k]);
  const box = [left, top, left + side, top + side];
  return resize(square, down, across, 3, size, size, box);
}
