// `g` and a letter go to a page. Off where a person switched single keys off (WCAG 2.1.4), and while typing.
"use strict";
(() => {
  const PATIENCE = 1500; // milliseconds between `g` and the letter
  let waitingSince = 0;

  function isTyping(target) {
    return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
  }

  document.addEventListener("keydown", (press) => {
    if (document.body.dataset.singleKeys !== "on" || press.ctrlKey || press.metaKey || press.altKey) return;
    if (isTyping(press.target)) return;
    if (waitingSince && press.timeStamp - waitingSince < PATIENCE) {
      waitingSince = 0;
      const link = document.querySelector(`[data-go-key="${CSS.escape(press.key.toLowerCase())}"]`);
      press.preventDefault();
      press.stopImmediatePropagation(); // the letter is spent: it must not also be a verdict
      if (link) link.click();
      return;
    }
    waitingSince = press.key === "g" ? press.timeStamp : 0;
  }, true);
})();
