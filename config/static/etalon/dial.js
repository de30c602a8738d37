// The threshold dial: a slider and a line to drag; what each step means came with the page.
"use strict";
(() => {
  const root = document.querySelector("[data-dial]");
  if (!root) return;
  const steps = JSON.parse(root.dataset.steps);
  const range = root.querySelector("[data-dial-range]");
  const written = root.querySelector("[data-dial-threshold]");
  const chosen = root.querySelector("[data-dial-chosen]");
  const figure = root.querySelector(".dial");
  const shown = new Intl.NumberFormat(document.documentElement.lang || "en", { maximumFractionDigits: 4 });

  function turn(place) {
    const step = steps[place];
    range.value = place;
    range.setAttribute("aria-valuetext", step.threshold);
    written.value = step.threshold;
    if (chosen) chosen.value = step.threshold;
    const x = ((place + 1) * 800) / (steps.length + 1);
    for (const line of root.querySelectorAll("[data-dial-line]")) {
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
    }
    for (const out of root.querySelectorAll("[data-dial-out]")) {
      const value = step[out.dataset.dialOut];
      if (out.dataset.dialOut === "threshold") out.textContent = value;
      else out.textContent = value === null ? "–" : shown.format(value);
    }
  }

  function placeOf(event) {
    const box = event.currentTarget.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    return Math.min(Math.max(Math.round(share * (steps.length + 1)) - 1, 0), steps.length - 1);
  }

  for (const picture of figure.querySelectorAll("svg")) {
    picture.addEventListener("pointerdown", (event) => {
      picture.setPointerCapture(event.pointerId);
      turn(placeOf(event));
      range.focus({ preventScroll: true });
    });
    picture.addEventListener("pointermove", (event) => {
      if (event.buttons) turn(placeOf(event));
    });
  }
  range.hidden = false;
  range.addEventListener("input", () => turn(Number(range.value)));
})();
