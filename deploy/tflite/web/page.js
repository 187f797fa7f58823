// What both pages do: files beside them and from the reader, the camera, plain words.

import { Problem } from "./litert.js";

export const $ = (id) => document.getElementById(id);

/** Runs something; what goes wrong is told to the reader. */
export async function guarded(action) {
  $("problem").hidden = true;
  try {
    await action();
  } catch (error) {
    if (!(error instanceof Problem)) console.error(error);
    $("problem").textContent = error instanceof Problem ? error.message
      : `Something unexpected went wrong: ${error.message ?? error}`;
    $("problem").hidden = false;
  }
}

/** The models beside the page, read off the listing that a simple server makes. */
export async function servedModels() {
  const answer = await fetch("models/").catch(() => null);
  const listed = answer?.ok ? await answer.text() : "";
  const links = new DOMParser().parseFromString(listed, "text/html").links;
  return Array.from(links, (link) => decodeURIComponent(link.getAttribute("href")))
    .filter((name) => name.endsWith(".tflite"))
    .map((path) => path.split("/").pop());
}

/** A model beside the page, as `litert.js` takes it. */
export async function fetched(name) {
  const [content, text] = await Promise.all(
    [name, besides(name)].map((each) => fetch(`models/${encodeURIComponent(each)}`)),
  );
  if (!content.ok) throw new Problem(`models/${name} cannot be loaded.`);
  return {
    name,
    bytes: new Uint8Array(await content.arrayBuffer()),
    description: text.ok ? parsed(await text.text()) : null,
  };
}

/** Models that the reader chose: name to a function that fetches it. */
export async function chosenModels(chosen) {
  const texts = new Map();
  for (const file of chosen) {
    if (file.name.endsWith(".json")) texts.set(file.name, await file.text());
  }
  const models = chosen.filter((file) => file.name.endsWith(".tflite"));
  if (!models.length) {
    throw new Problem("Choose a .tflite file together with the .json of the same name.");
  }
  return new Map(models.map((file) => {
    const beside = besides(file.name);
    if (!texts.has(beside)) {
      throw new Problem(`${file.name} alone is not enough: choose ${beside} together with it.`);
    }
    return [file.name, async () => ({
      name: file.name,
      bytes: new Uint8Array(await file.arrayBuffer()),
      description: parsed(texts.get(beside)),
    })];
  }));
}

const besides = (name) => name.replace(/\.tflite$/, ".json");

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The camera's stream; `instead` is what else the reader can do. */
export async function openCamera(instead) {
  if (!navigator.mediaDevices) {
    throw new Problem("Browsers give a camera to pages on https and on localhost only.");
  }
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    throw new Problem(error.name === "NotAllowedError"
      ? "The camera is not allowed: permit it in the browser's settings of this page, or " +
        `${instead}.`
      : `There is no camera that can be used; ${instead}.`);
  }
}

/** Calls `receive` with the files that are dropped, or chosen in the fields with ids. */
export function takeFiles(ids, receive) {
  for (const id of ids) {
    $(id).addEventListener("change", ({ target }) => guarded(async () => {
      const chosen = [...target.files];
      target.value = ""; // so that the same file can be chosen again
      await receive(chosen);
    }));
  }
  addEventListener("dragover", (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
  addEventListener("dragleave", () => $("drop").classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
    guarded(() => receive([...event.dataTransfer.files]));
  });
}

export const isModel = (file) => /\.(tflite|json)$/.test(file.name);

export const pause = () => new Promise((done) => setTimeout(done));

export const size = (bytes) => bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB`
  : `${(bytes / 1e6).toFixed(1)} MB`;
