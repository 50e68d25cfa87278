// Rows of files: choosing, tags, details; changes of one or many, with a way back.

import * as api from "./api.js";
import { byId, failed, make, size, splitTags, toast, when } from "./elements.js";

const chosen = new Set();
let refresh = () => {};
export const whenChanged = (action) => { refresh = action; };

const SIGNS = { image: "▣", video: "▶", audio: "♪", text: "¶" };
const PICTURE = /^image\/(png|jpeg|gif|webp|bmp|avif)/;
const MOST_OF_A_DRAWING = 1 << 20;

// Where a small picture of an entry comes from. A drawing is its own: as an image, a browser lets it neither run scripts nor load anything.
function pictureOf(entry, pixels) {
  if (PICTURE.test(entry.type)) return { src: api.thumbnailUrl(entry.id, pixels) };
  if (/^image\/svg\+xml/.test(entry.type) && entry.size <= MOST_OF_A_DRAWING) return { src: api.contentUrl(entry.id), drawing: true };
  return null;
}

function sign(entry) {
  const fallback = () => make("span", { class: "sign", "aria-hidden": "true" }, SIGNS[entry.type.split("/")[0]] || "▤");
  const found = pictureOf(entry, 128);
  if (!found) return fallback();
  const picture = make("img", { class: found.drawing ? "sign drawing" : "sign", alt: "", loading: "lazy", src: found.src });
  picture.addEventListener("error", () => picture.replaceWith(fallback()), { once: true });
  return picture;
}

// The row of an entry that is shown, if it is.
const rowOf = (id) => byId("results").querySelector(`li[data-id="${CSS.escape(id)}"]`);

// An entry has changed somewhere: its row, where it is shown, says so, and stays where it is.
export function updateRow({ id, state, entry }, trashed, narrow) {
  const row = rowOf(id);
  if (!row) return;
  if (state === (trashed ? "trash" : "live")) {
    const fresh = entryRow(entry, trashed, narrow);
    if (!row.contains(document.activeElement)) row.replaceWith(fresh);
  } else {
    row.classList.add("gone");
    chosen.delete(id);
    showBulk();
  }
}

export function entryRow(entry, trashed, narrow) {
  const box = make("input", { type: "checkbox", "aria-label": `Choose ${entry.name}`, checked: chosen.has(entry.id), onchange: () => {
    if (box.checked) chosen.add(entry.id); else chosen.delete(entry.id);
    showBulk();
  } });
  const tags = make("span", { class: "tags" }, ...entry.tags.map((tag) =>
    make("button", { type: "button", class: "tag", onclick: () => narrow(tag) }, tag)));
  const open = make("button", { type: "button", class: "name", title: entry.name, onclick: () => details(entry.id) },
    make("span", { class: "lines" }, entry.name));
  const act = trashed
    ? make("button", { type: "button", onclick: () => bringBack([entry.id]) }, "Restore")
    : make("button", { type: "button", class: "danger", onclick: () => throwAway([entry.id], entry.name) }, "Delete");
  const load = make("a", { class: "button", href: api.contentUrl(entry.id, true), download: entry.name,
    "aria-label": `Download ${entry.name}` }, "Download");
  return make("li", { "data-id": entry.id }, box, sign(entry),
    make("div", { class: "what" }, open, tags),
    make("span", { class: "facts" }, `${size(entry.size)} · ${when(entry.added)}`),
    make("span", { class: "acts" }, load, act));
}

export const isChoosing = () => chosen.size > 0 || byId("details").open;

export function clearChoice() {
  chosen.clear();
  for (const box of byId("results").querySelectorAll("input:checked")) box.checked = false;
  showBulk();
}

function chooseAll() {
  for (const row of byId("results").querySelectorAll("li[data-id]:not(.gone)")) {
    row.querySelector("input").checked = true;
    chosen.add(row.dataset.id);
  }
  showBulk();
}

function showBulk() {
  byId("bulk").hidden = !chosen.size;
  byId("chosen").textContent = `${chosen.size} chosen`;
  const trashed = document.body.dataset.view === "trash";
  byId("bulk-trash").hidden = trashed;
  byId("retag").hidden = trashed;
  byId("bulk-restore").hidden = !trashed;
}

async function attempt(work) {
  try {
    return await work();
  } catch (problem) {
    failed(problem);
    return null;
  }
}

export async function throwAway(ids, name) {
  const done = await attempt(() => api.trash(api.only(ids)));
  if (!done) return;
  toast(name ? `${name} is in the trash.` : `${done.changed} files are in the trash.`, "Undo", () => bringBack(ids));
  refresh();
}

async function bringBack(ids) {
  const done = await attempt(() => api.restore(api.only(ids)));
  if (!done) return;
  toast(done.changed === 1 ? "One file was restored." : `${done.changed} files were restored.`);
  refresh();
}

async function retag(how) {
  const tags = splitTags(byId("bulk-tags").value);
  if (!tags.length) return byId("bulk-tags").focus();
  const query = api.only([...chosen]);
  const [add, take] = how === "delete" ? [[], tags] : [tags, []];
  const done = await attempt(() => api.retag(query, add, take));
  if (!done) return null;
  byId("bulk-tags").value = "";
  toast(`${done.changed} files were changed.`);
  return refresh();
}

export function wireBulk() {
  byId("retag").addEventListener("submit", (event) => {
    event.preventDefault();
    retag(event.submitter ? event.submitter.value : "add");
  });
  byId("bulk-trash").addEventListener("click", () => throwAway([...chosen]));
  byId("bulk-restore").addEventListener("click", () => bringBack([...chosen]));
  byId("choose-all").addEventListener("click", chooseAll);
  byId("choose-none").addEventListener("click", clearChoice);
  byId("details").addEventListener("close", () => {
    byId("details-body").replaceChildren();
    document.body.append(byId("toasts"));
  });
}

async function details(id) {
  const entry = await attempt(() => api.info(id));
  if (!entry) return;
  showDetails(entry);
  if (!byId("details").open) byId("details").showModal();
}

function showDetails(entry) {
  const save = async (what) => {
    const now = await attempt(() => api.change(entry.id, what));
    if (now) { showDetails(now); refresh(); }
  };
  const editable = !entry.trashed;
  const rename = make("input", { id: "rename", value: entry.name, maxlength: 255, required: true, disabled: !editable });
  const adding = make("input", { id: "adding", placeholder: "tags, by commas", autocapitalize: "off", autocomplete: "off" });
  const tags = entry.tags.map((tag) => make("span", { class: "tag" }, tag, editable
    ? make("button", { type: "button", "aria-label": `Take the tag ${tag}`, onclick: () => save({ delete_tags: [tag] }) }, "×")
    : ""));
  const form = (onsubmit, ...children) =>
    make("form", { onsubmit: (event) => { event.preventDefault(); onsubmit(); } }, ...children);
  const facts = { Size: `${size(entry.size)} (${entry.size.toLocaleString()} bytes)`, Type: entry.type,
    Folder: `/${entry.home}`, Added: when(entry.added), Modified: when(entry.modified),
    Copies: `${entry.copies.have} of ${entry.copies.want}`, Digest: entry.digest, Id: entry.id };
  if (entry.trashed) facts["In the trash since"] = when(entry.trashed);
  byId("details-name").textContent = entry.name;
  const leave = (work) => () => { byId("details").close(); work(); };
  byId("details-body").replaceChildren(
    preview(entry),
    make("p", { class: "acts" },
      make("a", { class: "button primary", href: api.contentUrl(entry.id, true), download: entry.name }, "Download"),
      entry.trashed
        ? make("button", { type: "button", onclick: leave(() => bringBack([entry.id])) }, "Restore")
        : make("button", { type: "button", class: "danger", onclick: leave(() => throwAway([entry.id], entry.name)) }, "Delete")),
    form(() => save({ name: rename.value }), make("label", { for: "rename" }, "Name"), rename,
      make("button", { disabled: !editable }, "Rename")),
    make("div", { class: "tags" }, ...tags),
    editable ? form(() => { const list = splitTags(adding.value); if (list.length) save({ add_tags: list }); },
      make("label", { for: "adding" }, "Tags"), adding, make("button", {}, "Add")) : "",
    make("dl", {}, ...Object.entries(facts).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])),
    versions(entry));
}

// What the content was before; kept for as long as the trash is.
function versions(entry) {
  if (!entry.versions.length) return "";
  const row = (version) => make("li", {}, make("span", {}, when(version.modified)),
    make("span", { class: "facts" }, size(version.size)),
    make("a", { href: api.versionUrl(entry.id, version.version), download: entry.name }, "Download"));
  return make("div", {}, make("h3", {}, "Earlier contents"), make("ul", { class: "versions" }, ...entry.versions.map(row)));
}

function preview(entry) {
  const found = pictureOf(entry, 640);
  if (!found) return "";
  const picture = make("img", { class: found.drawing ? "preview drawing" : "preview", alt: `Preview of ${entry.name}`, src: found.src });
  picture.addEventListener("error", () => picture.remove(), { once: true });
  return picture;
}
