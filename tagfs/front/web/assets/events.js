// Listens to the node while somebody looks: changes of files, and the table of nodes.

let source = null;
let seen = ""; // the figures last heard; the first ones are no news

// entry: one that changed; entries: something changed, perhaps what is not shown yet; nodes: the table.
export function follow({ entry, entries, nodes }) {
  const open = () => {
    if (document.hidden) {
      if (source) source.close();
      source = null;
    } else if (!source) {
      source = new EventSource("/api/v1/events");
      source.addEventListener("entries", (event) => {
        if (seen && seen !== event.data) entries();
        seen = event.data;
      });
      source.addEventListener("entry", (event) => entry(JSON.parse(event.data)));
      source.addEventListener("reset", entries);
      source.addEventListener("nodes", (event) => nodes(JSON.parse(event.data).nodes));
    }
  };
  document.addEventListener("visibilitychange", open);
  open();
}
