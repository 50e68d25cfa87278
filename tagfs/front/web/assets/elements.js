// Small things for building the page. Text from users only ever becomes text nodes.

export const byId = (id) => document.getElementById(id);

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  let value = bytes;
  let unit = -1;
  do { value /= 1024; unit += 1; } while (value >= 1023.5 && unit < 5);
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${"KMGTPE"[unit]}iB`;
}

export const when = (text) => new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

export const splitTags = (text) => [...new Set(text.split(",").map((tag) => tag.trim()).filter(Boolean))];

const WORDS = new Set(["and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "untagged"]);

// A tag as a tag-query takes it.
export function quoted(tag) {
  if (/^[\p{L}\p{N}]+$/u.test(tag) && !WORDS.has(tag.toLowerCase())) return tag;
  return `"${tag.replace(/[\\"]/g, "\\$&")}"`;
}

// A query narrowed by a tag.
export function narrowed(query, tag) {
  const base = query.trim();
  if (!base) return quoted(tag);
  return /(^|[\s()])or($|[\s()])/i.test(base) ? `(${base}) and ${quoted(tag)}` : `${base} and ${quoted(tag)}`;
}

// A message; with an action it stays long enough to be used.
export function toast(text, label, action) {
  const note = make("div", { class: "toast" }, make("span", {}, text));
  if (action) {
    note.append(make("button", { type: "button", onclick: () => { note.remove(); action(); } }, label));
  }
  note.append(make("button", { type: "button", "aria-label": "Dismiss", onclick: () => note.remove() }, "×"));
  const toasts = byId("toasts");
  const above = document.querySelector("dialog[open]") || document.body;  // an open dialog covers all that is not in it
  if (toasts.parentElement !== above) above.append(toasts);
  toasts.append(note);
  setTimeout(() => note.remove(), action ? 12000 : 5000);
}

export const failed = (problem) => toast(problem.message);
