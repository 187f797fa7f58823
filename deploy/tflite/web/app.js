// The page: files and pictures in, answers out.

import { Problem } from "./litert.js";
import { openModel } from "./model.js";
import {
  $, chosenModels, fetched, guarded, isModel, openCamera, pause, servedModels, size, takeFiles,
} from "./page.js";
import { tensorOf } from "./pixels.js";

const ROUNDS = 30; // in which both networks are timed, in turns
const SECONDS = 1.5; // and no longer than that
const BARS = 5;

const files = new Map(); // name -> function that fetches {name, bytes, description}
const slots = ["original", "lw_dna"].map(makeSlot);
let picture = null; // ImageData
let stream = null; // the camera
let turn = 0; // of the newest classification; older ones give up

function makeSlot(id) {
  const card = $(id);
  card.append($("card").content.cloneNode(true));
  card.querySelector("h2").textContent = card.dataset.name;
  const select = card.querySelector("select");
  select.setAttribute("aria-label", `File of ${card.dataset.name}`);
  const slot = { id, card, select, model: null, times: [] };
  select.addEventListener("change", () => guarded(async () => {
    await take(slot);
    await classify();
  }));
  return slot;
}

// ---- models

async function addModels(chosen) {
  const added = await chosenModels(chosen);
  added.forEach((fetchIt, name) => files.set(name, fetchIt));
  await offer([...added.keys()]);
}

/** Fills the lists of files, and takes a likely one for each side. */
async function offer(newest = []) {
  const names = [...files.keys()].sort();
  const likely = [
    (name) => /original/i.test(name),
    (name) => !/original/i.test(name),
  ];
  for (const [index, slot] of slots.entries()) {
    const had = slot.select.value;
    slot.select.replaceChildren(...names.map((name) => new Option(name, name)));
    const wanted = newest.find(likely[index]) ?? (had || names.find(likely[index]) || names[0]);
    slot.select.value = wanted;
    if (wanted !== slot.model?.name || newest.includes(wanted)) await take(slot);
  }
  await classify();
}

async function take(slot) {
  turn++; // whoever is running this model stops
  slot.model?.close();
  slot.model = null;
  clear(slot);
  const file = await files.get(slot.select.value)();
  slot.model = await openModel(file);
  const { input, quantize, bytes } = slot.model.description;
  const [, height, width] = input.shape;
  slot.card.querySelector(".facts").textContent =
    `${quantize} · ${width} × ${height} ${input.channels} · ${size(bytes)}`;
}

function clear(slot) {
  slot.times = [];
  for (const part of [".facts", ".answer strong", ".answer span", ".bars", ".time strong",
    ".time span"]) {
    slot.card.querySelector(part).replaceChildren();
  }
  $("summary").textContent = "";
}

// ---- pictures

async function choosePicture(file) {
  stopCamera();
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, {
      premultiplyAlpha: "none", colorSpaceConversion: "none",
    });
  } catch {
    throw new Problem(`${file.name} cannot be read as an image; JPEG, PNG and WebP can.`);
  }
  show(bitmap, bitmap.width, bitmap.height);
  await classify();
}

/** Draws a picture at full size and keeps its pixels. */
function show(source, width, height) {
  const canvas = $("shown");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0);
  picture = context.getImageData(0, 0, width, height);
  canvas.hidden = false;
  $("drop").querySelector(".hint").hidden = true;
  $("drop").classList.add("full");
}

async function toggleCamera() {
  if (stream) return stopCamera();
  stream = await openCamera("choose an image");
  $("camera").textContent = "Stop";
  const video = $("video");
  video.srcObject = stream;
  await video.play();
  const mine = stream;
  slots.forEach((slot) => { slot.times = []; });
  while (stream === mine) {
    show(video, video.videoWidth, video.videoHeight);
    await look(++turn, 1, 3);
    await pause();
  }
}

function stopCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  $("camera").textContent = "Camera";
}

// ---- answers

/** Classifies the picture by both models, then times them. */
async function classify() {
  const mine = ++turn;
  slots.forEach((slot) => { slot.times = []; });
  if (picture && !stream) await look(mine, ROUNDS, 10);
}

async function look(mine, rounds, least) {
  const ready = slots.filter((slot) => slot.model);
  const tensors = new Map();
  for (const slot of ready) {
    tensors.set(slot, tensorOf(picture, slot.model.description.input));
    slot.result = await slot.model.run(tensors.get(slot));
    if (mine !== turn) return;
    showAnswer(slot);
  }
  const started = performance.now();
  for (let round = 0; round < rounds; round++) {
    for (const slot of round % 2 ? ready.toReversed() : ready) {
      const ms = await slot.model.clock(tensors.get(slot), least);
      if (mine !== turn) return;
      slot.times = [...slot.times.slice(1 - ROUNDS), ms];
    }
    ready.forEach(showTime);
    showSummary();
    if (performance.now() - started > SECONDS * 1000) break;
    await pause();
    if (mine !== turn) return;
  }
}

function showAnswer({ card, model, result }) {
  const { labels } = model.description;
  const order = Array.from(result.probabilities.keys())
    .sort((a, b) => result.probabilities[b] - result.probabilities[a]).slice(0, BARS);
  const name = (index) => labels?.[index] ?? `class ${index}`;
  card.querySelector(".answer strong").textContent = name(order[0]);
  card.querySelector(".answer span").textContent = percent(result.probabilities[order[0]]);
  card.querySelector(".bars").replaceChildren(...order.map((index) => {
    const bar = document.createElement("li");
    const [label, share, line] = ["span", "b", "i"].map((tag) => document.createElement(tag));
    label.textContent = name(index);
    share.textContent = percent(result.probabilities[index]);
    line.style.setProperty("--share", result.probabilities[index]);
    bar.append(label, share, line);
    return bar;
  }));
}

function showTime({ card, times }) {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  card.querySelector(".time strong").textContent = `${at(0.5).toPrecision(3)} ms`;
  card.querySelector(".time span").textContent =
    `median; 10 to 90 %: ${at(0.1).toPrecision(3)} to ${at(0.9).toPrecision(3)} ms`;
}

function showSummary() {
  const [original, slim] = slots;
  if (!original.model || !slim.model || !original.times.length || !slim.times.length) return;
  const ratios = slim.times.map((ms, i) => ms / original.times[i]).sort((a, b) => a - b);
  const ratio = ratios[Math.floor(ratios.length / 2)];
  const bytes = slim.model.description.bytes / original.model.description.bytes;
  const best = slots.map(({ card }) => card.querySelector(".answer strong").textContent);
  $("summary").textContent =
    `LW-DNA takes ${ratio.toFixed(2)} × the time and ${bytes.toFixed(2)} × the bytes, and ` +
    (best[0] === best[1] ? "names the same class." : "names another class.");
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

// ---- what the reader does

async function receive(dropped) {
  const models = dropped.filter(isModel);
  if (models.length) return addModels(models);
  if (!dropped.length) return;
  if (!dropped[0].type.startsWith("image/")) {
    throw new Problem(`${dropped[0].name} is neither an image nor a .tflite file.`);
  }
  await choosePicture(dropped[0]);
}

takeFiles(["image", "models"], receive);
$("camera").addEventListener("click", () => guarded(toggleCamera));

await guarded(async () => {
  for (const name of await servedModels()) files.set(name, () => fetched(name));
  if (!files.size) {
    throw new Problem("There are no models yet: copy a run's .tflite and .json files into the " +
      "folder models/ beside this page, or add them here.");
  }
  await offer();
});
