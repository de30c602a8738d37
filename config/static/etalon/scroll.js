// What scrolls can be scrolled with the keyboard: it takes the focus while, and only while, it is wider or taller
// than its place.
"use strict";
(() => {
  const SCROLLERS = ".scroll, pre.wire:not([tabindex])";

  function look() {
    for (const box of document.querySelectorAll(SCROLLERS)) {
      const overflows = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
      if (overflows) box.tabIndex = 0;
      else if (box.matches(".scroll") && document.activeElement !== box) box.removeAttribute("tabindex");
    }
  }

  document.addEventListener("DOMContentLoaded", look);
  document.addEventListener("htmx:afterSwap", look);
  window.addEventListener("resize", look);
})();
