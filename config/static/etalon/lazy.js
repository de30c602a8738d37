// Heavy parts of an item load by themselves a moment after it came. When the next item is asked for they are called
// off: a browser keeps few connections to one house, and an answer must not wait behind what nobody will read.
"use strict";
document.addEventListener("htmx:beforeSend", (event) => {
  if (event.detail.target.id !== "workbench") return;
  for (const part of document.querySelectorAll("[data-lazy]")) {
    part.removeAttribute("data-lazy");
    htmx.trigger(part, "htmx:abort");
  }
});
