// The search box: query, order, facets, completion, and the pages of results. State lives in the address.

import * as api from "./api.js";
import { byId, failed, make, narrowed, quoted } from "./elements.js";
import { clearChoice, entryRow } from "./results.js";

const PAGE = 60;
const FACETS = 24;
let cursor = null;
let pages = 1;
let asked = 0; // answers to earlier questions are dropped
export const state = { view: "files", query: "", sort: "-added" };

const scoped = () => {
  const query = state.query.trim();
  if (state.view !== "trash") return query;
  return query ? `in:trash and (${query})` : "in:trash";
};

export function remember() {
  const values = new URLSearchParams();
  if (state.query) values.set("q", state.query);
  if (state.view !== "files") values.set("view", state.view);
  if (state.sort !== "-added") values.set("sort", state.sort);
  const hash = values.toString();
  if (hash !== location.hash.slice(1)) history.pushState(null, "", hash ? `#${hash}` : location.pathname);
}

export function recall() {
  const values = new URLSearchParams(location.hash.slice(1));
  state.query = values.get("q") || "";
  state.view = ["trash", "nodes"].includes(values.get("view")) ? values.get("view") : "files";
  state.sort = values.get("sort") || "-added";
  byId("query").value = state.query;
  byId("sort").value = state.sort;
}

export async function search() {
  const mine = ++asked;
  const query = scoped();
  byId("results").setAttribute("aria-busy", "true");
  try {
    const [found, facets] = await Promise.all([
      api.find({ q: query, sort: state.sort, limit: PAGE }),
      api.tags({ q: query, limit: FACETS }),
    ]);
    if (mine !== asked) return;
    showFault(null);
    clearChoice();
    byId("results").replaceChildren();
    byId("fresh").hidden = true;
    pages = 1;
    append(found);
    showFacets(facets.tags, found.total);
    const files = found.total === 1 ? "1 file" : `${found.total.toLocaleString()} files`;
    byId("summary").textContent = found.complete ? files : `${files} so far: some nodes cannot be reached`;
    byId("archive").href = api.archiveUrl(query);
    byId("archive").hidden = !found.total || found.total > 65000;
    if (!found.total) byId("results").append(emptyRow());
  } catch (problem) {
    if (mine === asked) showFault(problem);
  } finally {
    byId("results").removeAttribute("aria-busy");
  }
}

// Whether the first page is all that is shown.
export const isAtStart = () => pages === 1;

export async function more() {
  try {
    append(await api.find({ q: scoped(), sort: state.sort, limit: PAGE, after: cursor }));
    pages += 1;
  } catch (problem) {
    failed(problem);
  }
}

function append(found) {
  cursor = found.next;
  byId("more").hidden = !cursor;
  byId("results").append(...found.entries.map((entry) => entryRow(entry, state.view === "trash", narrow)));
}

function emptyRow() {
  const text = state.view === "trash" ? "The trash has nothing like that."
    : state.query ? "No file matches." : "No files yet. Drop some here, or use Upload.";
  return make("li", { class: "empty" }, text);
}

function showFault(problem) {
  const fault = byId("fault");
  fault.hidden = !problem;
  fault.textContent = problem ? problem.message : "";
  byId("query").setAttribute("aria-invalid", problem ? "true" : "false");
  if (problem && problem.column && document.activeElement === byId("query") && state.view === "files") {
    byId("query").setSelectionRange(problem.column - 1, problem.column);
  }
}

export function narrow(tag) {
  byId("query").value = narrowed(byId("query").value, tag);
  submit();
}

export function submit() {
  state.query = byId("query").value;
  state.sort = byId("sort").value;
  remember();
  return search();
}

function showFacets(tags, total) {
  const useful = tags.filter(({ count }) => count < total || total === 1);
  byId("facets").replaceChildren(...useful.map(({ tag, count }) =>
    make("button", { type: "button", class: "tag", onclick: () => narrow(tag) }, tag,
      make("span", { class: "count" }, count.toLocaleString()))));
}

let completing = 0;

// Completes the last word by the tags that narrow what stands before it.
export async function complete() {
  const text = byId("query").value;
  const word = /[^\s()"]*$/.exec(text)[0];
  if (!word || /[:<>*]/.test(word)) return;
  const mine = ++completing;
  try {
    const { tags } = await api.tags({ prefix: word.replace(/^-/, ""), limit: 10 });
    if (mine !== completing) return;
    const before = text.slice(0, text.length - word.length) + (word.startsWith("-") ? "-" : "");
    byId("completions").replaceChildren(...tags.map(({ tag, count }) =>
      make("option", { value: before + quoted(tag), label: `${tag} (${count})` })));
  } catch { /* no completion then */ }
}
