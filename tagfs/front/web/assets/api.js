// The API as functions. Errors are Problem, with the node's own words.

const BASE = "/api/v1";
const SESSION = "/session";

export class Problem extends Error {
  constructor(status, value) {
    super(value.detail || `The node answered ${status}.`);
    this.status = status;
    this.column = value.column;
  }
}

// The session's token: a change by a browser that is logged in needs it.
let token = null;

// Without a login there is nothing to show: to the log-in page, and back here afterwards.
export function toLogin() {
  location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}${location.hash}`);
}

async function ask(method, path, body) {
  const options = { method, headers: {} };
  if (token && method !== "GET") options.headers["X-CSRF-Token"] = token;
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(BASE + path, options);
  } catch {
    throw new Problem(0, { detail: "The node cannot be reached." });
  }
  if (answer.status === 204) return null;
  const value = await answer.json().catch(() => ({}));
  if (answer.status === 401 && path !== SESSION) toLogin();
  if (!answer.ok) throw new Problem(answer.status, value);
  return value;
}

// Who looks at this page, and what that one may do.
export async function session() {
  const now = await ask("GET", SESSION);
  token = now.csrf;
  return now;
}

export const logIn = (name, password) => ask("POST", SESSION, { name, password });
export const logOut = () => ask("DELETE", SESSION);

const parameters = (values) => new URLSearchParams(Object.entries(values).filter(([, value]) => value)).toString();

export const find = (values) => ask("GET", `/entries?${parameters(values)}`);
export const tags = (values) => ask("GET", `/tags?${parameters(values)}`);
export const info = (id) => ask("GET", `/entries/${id}`);
export const change = (id, what) => ask("PATCH", `/entries/${id}`, what);
export const retag = (query, add, del) => ask("POST", "/retag", { query, add_tags: add, delete_tags: del });
export const trash = (query) => ask("POST", "/delete", { query });
export const restore = (query) => ask("POST", "/restore", { query });
export const nodes = () => ask("GET", "/nodes");
export const contentUrl = (id, download) => `${BASE}/entries/${id}/content${download ? "?download=true" : ""}`;
export const versionUrl = (id, version) => `${contentUrl(id, true)}&${parameters({ version })}`;
export const archiveUrl = (query) => `${BASE}/archive?${parameters({ q: query })}`;
export const thumbnailUrl = (id, size) => `${BASE}/entries/${id}/thumbnail?size=${size}`;

// The query that selects just these entries.
export const only = (ids) => ids.map((id) => `id:${id}`).join(" or ");

// XMLHttpRequest, since fetch tells no progress of uploads.
export function upload(file, tagList, key, progress) {
  const request = new XMLHttpRequest();
  const query = new URLSearchParams([["name", file.name], ...tagList.map((tag) => ["tag", tag])]);
  if (file.lastModified) query.set("modified", new Date(file.lastModified).toISOString());
  const done = new Promise((resolve, reject) => {
    const fail = (detail) => reject(new Problem(request.status, { detail }));
    request.upload.onprogress = (event) => progress(event.loaded, event.total);
    request.onload = () => {
      let value = {};
      try { value = JSON.parse(request.responseText); } catch { /* said below */ }
      if (request.status === 201) resolve(value);
      else reject(new Problem(request.status, value));
    };
    request.onerror = () => fail("The connection broke; nothing was stored.");
    request.onabort = () => fail("Stopped; nothing was stored.");
    request.open("POST", `${BASE}/entries?${query}`);
    request.setRequestHeader("Content-Type", file.type || "application/octet-stream");
    request.setRequestHeader("Idempotency-Key", key);
    if (token) request.setRequestHeader("X-CSRF-Token", token);
    request.send(file);
  });
  return { done, stop: () => request.abort() };
}
