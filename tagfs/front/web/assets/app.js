// Puts the parts together: views, keys, and who tells whom.

import * as api from "./api.js";
import { byId, failed } from "./elements.js";
import { follow } from "./events.js";
import { showNodes } from "./nodes.js";
import { clearChoice, isChoosing, updateRow, wireBulk, whenChanged } from "./results.js";
import { complete, isAtStart, more, narrow, recall, remember, search, state, submit } from "./search.js";
import { whenStored, wireUploads } from "./uploads.js";

function showView() {
  document.body.dataset.view = state.view;
  for (const button of document.querySelectorAll("[data-view]")) {
    if (button.dataset.view === state.view) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  byId("files").hidden = state.view === "nodes";
  byId("nodes").hidden = state.view !== "nodes";
  if (state.view !== "nodes") search();
}

for (const button of document.querySelectorAll("nav [data-view]")) {
  button.addEventListener("click", () => {
    state.view = button.dataset.view;
    remember();
    showView();
  });
}

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
byId("sort").addEventListener("change", submit);
byId("query").addEventListener("input", complete);
byId("query").addEventListener("search", () => { if (!byId("query").value) submit(); }); // the cross that empties it
byId("more").addEventListener("click", more);
addEventListener("popstate", () => {
  recall();
  showView();
});
addEventListener("keydown", (event) => {
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || byId("details").open;
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    byId("query").focus();
  }
  if (event.key === "Escape" && !byId("details").open) clearChoice();
});
// Others change things too. Where that would take something from under the reader's hands, a button waits instead.
byId("fresh").addEventListener("click", () => search());
follow({
  nodes: showNodes,
  entry: (change) => updateRow(change, state.view === "trash", narrow),
  entries: () => {
    if (state.view === "nodes") return;
    if (isAtStart() && !isChoosing() && scrollY < 150) search();
    else byId("fresh").hidden = false;
  },
});
async function showUser() {
  const now = await api.session();
  byId("who").textContent = now.name || "";
  byId("account").hidden = !now.name;
  byId("log-in").hidden = !now.users || Boolean(now.name);
  document.body.dataset.role = now.role;
}
byId("log-out").addEventListener("click", async () => {
  try {
    await api.logOut();
    location.assign("/login");
  } catch (problem) {
    failed(problem);
  }
});
showUser().catch(failed);
whenChanged(search);
whenStored(() => { if (state.view === "files") search(); });
wireBulk();
wireUploads();
recall();
showView();
