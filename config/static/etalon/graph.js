// The frame of a graph has no origin: it says when it is ready, and is handed the model.
"use strict";
(() => {
  document.addEventListener("DOMContentLoaded", () => {
    const frame = document.querySelector("iframe.graph");
    if (!frame) return;
    const model = fetch(frame.dataset.file, { credentials: "same-origin" }).then((answer) => {
      if (!answer.ok) throw new Error(String(answer.status));
      return answer.arrayBuffer();
    });
    model.catch(() => { document.getElementById("graph-problem").hidden = false; });
    window.addEventListener("message", async (event) => {
      if (event.source !== frame.contentWindow || event.data !== "ready") return;
      const bytes = await model.catch(() => null); // the page says so above
      if (bytes) frame.contentWindow.postMessage({ name: frame.dataset.name, bytes }, "*", [bytes]);
    });
  });
})();
