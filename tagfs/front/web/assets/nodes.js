// The table of nodes.

import { byId, make, size } from "./elements.js";

export function showNodes(nodes) {
  byId("node-rows").replaceChildren(...nodes.map((node) => make("tr", {},
    make("th", { scope: "row" }, node.name),
    make("td", {}, make("span", { class: `state ${node.state}` }, node.state)),
    make("td", {}, node.zone || "–"),
    make("td", {}, node.address || "–"),
    make("td", { class: "number" }, node.entries.toLocaleString()),
    make("td", { class: "number" }, size(node.bytes)),
    make("td", {}, make("code", {}, node.id)))));
}
