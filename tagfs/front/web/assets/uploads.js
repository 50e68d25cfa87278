// Files on their way in: by the button or dropped, two at a time, each with its progress.

import * as api from "./api.js";
import { byId, make, size, splitTags } from "./elements.js";

const AT_ONCE = 2;
const waiting = [];
let running = 0;
let refresh = () => {};
export const whenStored = (action) => { refresh = action; };

function open(on) {
  byId("uploads").hidden = !on;
  byId("upload").setAttribute("aria-expanded", String(on));
}

export function add(files) {
  if (!files.length) return;
  open(true);
  const tags = splitTags(byId("upload-tags").value);
  for (const file of files) {
    const row = uploadRow(file);
    waiting.push({ file, tags, row, key: `page-${crypto.getRandomValues(new Uint32Array(4)).join("-")}` });
    byId("upload-rows").prepend(row.element);
  }
  advance();
}

function uploadRow(file) {
  const bar = make("progress", { max: 1, value: 0, "aria-label": `Progress of ${file.name}` });
  const text = make("span", { class: "facts" }, size(file.size));
  const stop = make("button", { type: "button", "aria-label": `Stop ${file.name}` }, "×");
  return { bar, text, stop, element: make("li", {}, make("span", { class: "name" }, file.name), text, stop, bar) };
}

function advance() {
  while (running < AT_ONCE && waiting.length) {
    running += 1;
    send(waiting.shift());
  }
}

async function send({ file, tags, row, key }) {
  const going = api.upload(file, tags, key, (sent, total) => {
    row.bar.value = total ? sent / total : 1;
    row.text.textContent = sent < total ? `${size(sent)} of ${size(total)}` : "being stored";
  });
  row.stop.onclick = going.stop;
  try {
    await going.done;
    row.text.textContent = "stored";
    row.bar.value = 1;
    row.element.classList.add("done");
    row.stop.remove();
  } catch (problem) {
    row.text.textContent = problem.message;
    row.element.classList.add("failed");
    row.stop.textContent = "Again";
    row.stop.onclick = () => {
      row.element.classList.remove("failed");
      row.stop.textContent = "×";
      waiting.push({ file, tags, row, key });
      advance();
    };
  }
  running -= 1;
  advance();
  if (!running) refresh();
}

export function wireUploads() {
  byId("choose").addEventListener("change", (event) => {
    add([...event.target.files]);
    event.target.value = "";
  });
  byId("upload").addEventListener("click", () => {
    open(byId("uploads").hidden);
    if (!byId("uploads").hidden) byId("upload-tags").focus();
  });
  byId("uploads-close").addEventListener("click", () => {
    open(false);
    byId("upload").focus();
  });
  let depth = 0; // dragenter and dragleave come for every element that is crossed
  const show = () => { byId("drop").hidden = depth <= 0; };
  const carriesFiles = (event) => [...event.dataTransfer.types].includes("Files");
  addEventListener("dragenter", (event) => { if (carriesFiles(event)) { depth += 1; show(); } });
  addEventListener("dragleave", (event) => { if (carriesFiles(event)) { depth -= 1; show(); } });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    show();
    add([...event.dataTransfer.files]);
  });
}
