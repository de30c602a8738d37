// The search field on top: arrows walk the answers below it, Escape clears it and gives the focus back.
"use strict";
(() => {
  let before = null; // who had the focus when the search began

  document.addEventListener("focusin", (event) => {
    if (event.target.matches("[data-search]") && !event.target.form.contains(event.relatedTarget)) before = event.relatedTarget;
  });

  document.addEventListener("keydown", (event) => {
    const form = event.target.closest("form[role=search]");
    if (!form) return;
    const field = form.querySelector("[data-search]");
    const stops = [field, ...form.querySelectorAll("a[href]")];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      const now = stops.indexOf(document.activeElement);
      stops[Math.min(Math.max(now + step, 0), stops.length - 1)].focus();
    } else if (event.key === "Escape") {
      event.preventDefault();
      field.value = "";
      form.querySelector("#found").replaceChildren();
      if (before && before.isConnected) before.focus({ preventScroll: true });
      else document.activeElement.blur();
    }
  });
})();
