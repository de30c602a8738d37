// The filter of a hunt: Enter asks, and names of fields are offered while they are typed.
"use strict";
(() => {
  const box = document.getElementById("hunt-q");
  const found = document.getElementById("hunt-found");
  if (!box || !found) return;
  const words = [...document.querySelectorAll("#hunt-words option")].map((one) => ({ word: one.value, title: one.label }));

  const begun = () => box.value.slice(0, box.selectionStart).match(/[a-z_][\w.]*$/i)?.[0] ?? "";

  function offer() {
    const start = begun().toLowerCase();
    const some = start ? words.filter((one) => one.word.includes(start) && one.word !== start).slice(0, 8) : [];
    const list = document.createElement("ul");
    list.className = "found__list";
    for (const { word, title } of some) {
      const link = document.createElement("a");
      link.href = "#hunt-q";
      link.append(Object.assign(document.createElement("span"), { className: "wire", textContent: word }));
      link.append(Object.assign(document.createElement("span"), { className: "muted", textContent: title }));
      link.addEventListener("click", (event) => { event.preventDefault(); take(word); });
      const entry = document.createElement("li");
      entry.append(link);
      list.append(entry);
    }
    found.replaceChildren(...(some.length ? [list] : []));
  }

  function take(word) {
    const end = box.selectionStart;
    const start = end - begun().length;
    box.setRangeText(word, start, end, "end");
    found.replaceChildren();
    box.focus();
  }

  // a proposed filter goes into the box; a person reads it there, and asks
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-proposal]");
    if (!button) return;
    box.value = button.dataset.proposal;
    found.replaceChildren();
    box.focus();
  });

  box.addEventListener("input", offer);
  box.form.addEventListener("keydown", (event) => {
    const stops = [box, ...found.querySelectorAll("a")];
    const now = stops.indexOf(document.activeElement);
    if (event.target === box && event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      box.form.requestSubmit();
    } else if (event.key === "Tab" && event.target === box && stops.length > 1 && !event.shiftKey) {
      event.preventDefault();
      stops[1].click();
    } else if (event.key === "ArrowDown" && stops.length > 1 && now >= 0) {
      event.preventDefault();
      stops[Math.min(now + 1, stops.length - 1)].focus();
    } else if (event.key === "ArrowUp" && now > 0) {
      event.preventDefault();
      stops[now - 1].focus();
    } else if (event.key === "Escape" && stops.length > 1) {
      event.preventDefault();
      found.replaceChildren();
      box.focus();
    }
  });
})();
