// The table of nodes, fresh as long as somebody looks at it.

import * as api from "./api.js";
import { byId, failed, make, size } from "./elements.js";

const EVERY_MS = 3000;
let timer = 0;

async function show() {
  try {
    const { nodes } = await api.nodes();
    byId("node-rows").replaceChildren(...nodes.map((node) => make("tr", {},
      make("th", { scope: "row" }, node.name),
      make("td", {}, make("span", { class: `state ${node.state}` }, node.state)),
      make("td", {}, node.zone || "–"),
      make("td", {}, node.address || "–"),
      make("td", { class: "number" }, node.entries.toLocaleString()),
      make("td", { class: "number" }, size(node.bytes)),
      make("td", {}, make("code", {}, node.id)))));
  } catch (problem) {
    failed(problem);
  }
}

export function watchNodes(on) {
  clearInterval(timer);
  if (!on) return;
  show();
  timer = setInterval(() => { if (!document.hidden) show(); }, EVERY_MS);
}
