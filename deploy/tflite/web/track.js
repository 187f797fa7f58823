// The page that follows what is marked: files, videos and a rectangle in, a box out.

import { Footage } from "./footage.js";
import { Problem } from "./litert.js";
import {
  $, chosenModels, fetched, guarded, isModel, servedModels, size, takeFiles,
} from "./page.js";
import { openTracker } from "./tracker.js";

const LEAST = 4; // pixels of the screen on a side of a rectangle; less is a slip
const MEAN = 30; // frames that times are averaged over
const PARTS = ["_exemplar", "_search"];
const SAID = {
  empty: "",
  still: "Draw a rectangle around what is to be followed.",
  live: "Draw a rectangle around what is to be followed.",
  following: "Following. Draw another rectangle to mark anew.",
  paused: "Paused. Draw another rectangle to mark anew.",
  over: "The video is over: Mark again starts anew.",
};

const trackers = new Map(); // name -> functions that fetch exemplar and search
const footage = new Footage($("video"));
const card = $("tracker");
const select = card.querySelector("select");
let tracker = null;
let frame = null; // ImageData, the one that is shown
let mode = "empty";
let turn = 0; // of the newest thing to be done; older ones give up
let last = Promise.resolve(); // what the tracker was asked last
let drag = null; // while a rectangle is drawn: where from, and what was going on
let box = null;
let times = [], followed = 0;

/** The tracker does one thing after the other. */
function alone(action) {
  last = last.catch(() => {}).then(action);
  return last;
}

function enter(next) {
  mode = next;
  $("said").textContent = SAID[mode];
  $("pause").disabled = !["following", "paused"].includes(mode);
  $("pause").textContent = mode === "paused" ? "Go on" : "Pause";
  $("again").disabled = !["following", "paused", "over"].includes(mode);
  $("camera").textContent = footage.stream ? "Stop" : "Camera";
}

/** Whatever goes on stops; a video is held. */
function stop() {
  footage.pause();
  return ++turn;
}

// ---- trackers

/** Where the part is in a file's name: the last, a network may be called my_search. */
const partIn = (name) => PARTS.map((part) => ({ part, at: name.lastIndexOf(part) }))
  .reduce((a, b) => (b.at > a.at ? b : a));

/** The name with something else in the place of the part. */
function renamed(name, other) {
  const { part, at } = partIn(name);
  return at < 0 ? name : name.slice(0, at) + other + name.slice(at + part.length);
}

const nameOf = (file) => renamed(file, "").replace(/\.tflite$/, "");

/** Adds the trackers whose two parts are among some files; returns their names. */
function pair(names, fetchOf) {
  const found = names.filter(
    (name) => partIn(name).part === PARTS[0] && partIn(name).at >= 0 &&
      names.includes(searchOf(name)),
  );
  for (const name of found) trackers.set(nameOf(name), [name, searchOf(name)].map(fetchOf));
  return found.map(nameOf);
}

const searchOf = (name) => renamed(name, PARTS[1]);

async function addTracker(chosen) {
  const names = chosen.map((file) => file.name).filter((name) => name.endsWith(".tflite"));
  for (const name of names) {
    const { part, at } = partIn(name);
    if (at < 0) {
      throw new Problem(`${name} is no part of a tracker, which are called NAME${PARTS[0]} and ` +
        `NAME${PARTS[1]}. A classifier runs on the page index.html.`);
    }
    const other = renamed(name, PARTS.find((each) => each !== part));
    if (!names.includes(other)) {
      throw new Problem(`${name} alone is not enough, a tracker is two files: choose ${other} ` +
        "too, each with its .json.");
    }
  }
  const files = await chosenModels(chosen);
  const [added] = pair(names, (name) => files.get(name));
  offer();
  await take(added);
}

function offer() {
  select.replaceChildren(...[...trackers.keys()].sort().map((name) => new Option(name, name)));
}

async function take(name) {
  await mark();
  select.value = name;
  card.querySelector(".facts").textContent = "";
  await alone(async () => {
    tracker?.close();
    tracker = null;
    tracker = await openTracker(await Promise.all(trackers.get(name).map((each) => each())));
  });
  const [exemplar, search] = tracker.descriptions;
  const { settings } = search.tracker;
  card.querySelector(".facts").textContent = [
    search.quantize, `${tracker.side} × ${tracker.side}`,
    size(exemplar.bytes + search.bytes),
    tracker.believes ? "tells all four sides" : `tries ${settings.scales.length} sizes`,
  ].join(" · ");
}

// ---- footage

async function chooseVideo(file) {
  leave();
  await footage.openFile(file);
  await mark();
}

async function toggleCamera() {
  const had = footage.stream;
  leave();
  if (had) return;
  await footage.openCamera();
  await mark();
}

/** Nothing is shown any more. */
function leave() {
  stop();
  footage.close();
  frame = drag = null;
  $("shown").hidden = true;
  $("drop").querySelector(".hint").hidden = false;
  $("drop").classList.remove("full");
  clear();
  enter("empty");
}

/** Waits for a rectangle: on the frame at hand, or on the camera's picture. */
async function mark() {
  const mine = stop();
  clear();
  if (footage.stream) {
    enter("live");
    preview(mine);
  } else if ($("video").src) {
    if (mode === "over") await footage.rewind();
    if (mine !== turn) return;
    show(footage.grab());
    enter("still");
  }
}

async function preview(mine) {
  while (mine === turn) {
    const next = await footage.next();
    if (mine === turn) show(next);
  }
}

function show(next) {
  frame = next;
  const canvas = $("shown");
  if (canvas.width !== frame.width || canvas.height !== frame.height || canvas.hidden) {
    [canvas.width, canvas.height] = [frame.width, frame.height];
    canvas.hidden = false;
    $("drop").style.setProperty("--shape", frame.width / frame.height);
    $("drop").querySelector(".hint").hidden = true;
    $("drop").classList.add("full");
  }
  canvas.getContext("2d").putImageData(frame, 0, 0);
}

function showBox(next, kind) {
  box = next;
  $("box").hidden = !box;
  if (!box) return;
  $("box").className = kind;
  const [left, top, width, height] = box.map(
    (each, k) => `${(100 * each) / (k % 2 ? frame.height : frame.width)}%`,
  );
  Object.assign($("box").style, { left, top, width, height });
}

// ---- following

async function begin(marked) {
  const mine = ++turn;
  times = [];
  followed = 0;
  await alone(() => tracker.start(frame, marked));
  if (mine !== turn) return;
  showBox(marked, "seen");
  await follow();
}

async function follow() {
  const mine = ++turn;
  enter("following");
  await footage.play();
  while (mine === turn) {
    const next = await footage.next();
    if (mine !== turn) return;
    if (!next) return enter("over");
    const started = performance.now();
    const found = await alone(() => tracker.update(next));
    if (mine !== turn) return;
    times = [...times.slice(1 - MEAN), performance.now() - started];
    followed++;
    show(next);
    showBox(found.box, found.lost ? "lost" : "seen");
    showAnswer(found);
  }
}

function showAnswer({ score, lost }) {
  card.querySelector(".answer strong").textContent = score.toFixed(2);
  card.querySelector(".answer span").textContent = lost ? "score: lost from sight" : "score: in sight";
  const bar = card.querySelector(".bars li");
  bar.hidden = false;
  bar.querySelector("i").style.setProperty("--share", Math.min(Math.max(score, 0), 1));
  const ms = times.reduce((a, b) => a + b, 0) / times.length;
  const rate = 1000 / ms;
  card.querySelector(".time strong").textContent =
    `${rate < 10 ? rate.toFixed(1) : Math.round(rate)} frames/s`;
  const unseen = footage.skipped ? `, ${footage.skipped} passed unseen` : "";
  card.querySelector(".time span").textContent =
    `${ms.toPrecision(3)} ms a frame; ${followed} followed${unseen}`;
}

function clear() {
  showBox(null);
  for (const part of [".answer strong", ".answer span", ".time strong", ".time span"]) {
    card.querySelector(part).textContent = "";
  }
  card.querySelector(".bars li").hidden = true;
}

async function togglePause() {
  if (mode === "paused") return follow();
  stop();
  enter("paused");
}

// ---- the rectangle

/** Where a pointer is, in the frame's pixels. */
function place({ clientX, clientY }) {
  const { left, top, width, height } = $("shown").getBoundingClientRect();
  return [((clientX - left) / width) * frame.width, ((clientY - top) / height) * frame.height]
    .map((each, k) => Math.min(Math.max(each, 0), k ? frame.height : frame.width));
}

function drawn(event) {
  const [a, b] = [drag.from, place(event)];
  const low = a.map((each, k) => Math.min(each, b[k]));
  return [...low, ...a.map((each, k) => Math.abs(each - b[k]))];
}

$("drop").addEventListener("pointerdown", (event) => guarded(async () => {
  if (!frame || event.button || drag || mode === "over") return;
  if (!tracker) throw new Problem("There is no tracker yet: add its two files first.");
  event.preventDefault();
  $("drop").setPointerCapture(event.pointerId);
  drag = { from: place(event), mode, box, kind: $("box").className };
  stop();
}));
$("drop").addEventListener("pointermove", (event) => {
  if (drag) showBox(drawn(event), "marking");
});
for (const kind of ["pointerup", "pointercancel"]) {
  $("drop").addEventListener(kind, (event) => guarded(async () => {
    if (!drag) return;
    const marked = drawn(event), before = drag;
    drag = null;
    const shown = $("shown").getBoundingClientRect().width / frame.width;
    if (kind === "pointerup" && Math.min(marked[2], marked[3]) * shown >= LEAST) {
      return begin(marked);
    }
    showBox(before.box, before.kind);
    if (before.mode === "following") return follow();
    if (before.mode === "live") return mark();
    enter(before.mode);
  }));
}

// ---- what the reader does

async function receive(dropped) {
  if (!dropped.length) return;
  if (dropped.some(isModel)) return addTracker(dropped);
  if (!dropped[0].type.startsWith("video/")) {
    throw new Problem(`${dropped[0].name} is neither a video nor a .tflite file.`);
  }
  await chooseVideo(dropped[0]);
}

takeFiles(["footage", "models"], receive);
$("camera").addEventListener("click", () => guarded(toggleCamera));
$("pause").addEventListener("click", () => guarded(togglePause));
$("again").addEventListener("click", () => guarded(mark));
select.addEventListener("change", () => guarded(() => take(select.value)));

await guarded(async () => {
  const found = pair(await servedModels(), (name) => () => fetched(name));
  const asked = new URLSearchParams(location.search).get("model");
  if (asked && !trackers.has(asked)) {
    trackers.set(asked, PARTS.map((part) => () => fetched(`${asked}${part}.tflite`)));
  }
  if (!trackers.size) {
    throw new Problem("There are no trackers yet: copy a run's NAME_exemplar.tflite, " +
      "NAME_search.tflite and their .json files into the folder models/ beside this page, or " +
      "add them here.");
  }
  offer();
  await take(asked ?? found.sort()[0]);
});
