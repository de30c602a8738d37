// One key per verdict. An element says which key presses it: data-key="m". What a key does depends on the element:
// links and buttons are clicked, fields get the focus, checkboxes flip. Buttons may also open things:
//   data-opens="id"     shows a dialog, or a panel of choices whose data-default gets the focus
//   data-closes="id"    hides that panel again
//   data-cycles="name"  selects the next radio button of that name
// j and k walk the rows of lists. Off while typing, with Ctrl, Alt or Meta, and where a person switched single keys
// off (WCAG 2.1.4).
"use strict";
(() => {
  const BENCH = "workbench";
  const ROW = "[data-row], .table tbody tr";

  const isTyping = (target) =>
    target.isContentEditable ||
    ["TEXTAREA", "SELECT"].includes(target.tagName) ||
    (target.tagName === "INPUT" && !["checkbox", "radio", "button", "submit"].includes(target.type));

  const isShown = (element) => element.classList.contains("unseen") || element.getClientRects().length > 0;

  function keyed(root, key) {
    const found = [...root.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)];
    return found.find((element) => !element.disabled && !element.closest("[hidden]") && isShown(element));
  }

  function press(element) {
    if (element.matches("textarea, select, input:not([type=checkbox])")) element.focus();
    else element.click();
  }

  function backToBench() {
    const bench = document.getElementById(BENCH);
    if (bench) bench.focus({ preventScroll: true });
  }

  function leaveField(field) {
    if (document.getElementById(BENCH)) backToBench();
    else field.blur();
  }

  function openPanel(panel, opener) {
    for (const other of document.querySelectorAll("[data-choices]:not([hidden])")) if (other !== panel) closePanel(other);
    panel.hidden = false;
    if (opener) opener.setAttribute("aria-expanded", "true");
    (panel.querySelector("[data-default]") || panel).focus();
  }

  function closePanel(panel) {
    panel.hidden = true;
    const opener = document.querySelector(`[aria-controls="${CSS.escape(panel.id)}"]`);
    if (opener) opener.setAttribute("aria-expanded", "false");
    backToBench();
  }

  // what the keys of this page do, in the words of what they press: the list cannot forget one
  const nameOf = (element) => {
    const said = element.dataset.keyName || element.title;
    if (said) return said;
    const copy = (element.closest("label") || element).cloneNode(true);
    for (const extra of copy.querySelectorAll("kbd, textarea, select, [aria-hidden=true]")) extra.remove();
    return copy.textContent.trim() || element.getAttribute("aria-label") || element.placeholder || "";
  };

  function listKeys(dialog) {
    const list = dialog.querySelector("[data-page-keys]");
    if (!list) return;
    list.replaceChildren();
    const told = new Set();
    for (const element of document.querySelectorAll("main [data-key]")) {
      const key = element.dataset.key;
      if (told.has(key) || key.length !== 1 || element.closest("dialog")) continue;
      told.add(key);
      const term = document.createElement("dt");
      term.append(document.createElement("kbd"));
      term.firstChild.textContent = key;
      const words = document.createElement("dd");
      words.textContent = nameOf(element);
      list.append(term, words);
    }
    list.previousElementSibling.hidden = list.hidden = told.size === 0;
  }

  function nextView(name) {
    const views = [...document.querySelectorAll(`input[type=radio][name="${CSS.escape(name)}"]`)];
    const now = views.findIndex((view) => view.checked);
    views[(now + 1) % views.length].checked = true;
  }

  // a row says which link is its own; else it is the first that one sees
  function rowLinks() {
    const rows = [...document.querySelectorAll(ROW)].filter((row) => !row.closest("[hidden]") && isShown(row));
    return rows
      .map((row) => row.querySelector("[data-row-link]") || [...row.querySelectorAll("a[href]")].find(isShown))
      .filter(Boolean);
  }

  function walk(step, dialog) {
    const text = dialog && dialog.querySelector("pre");
    if (text) text.scrollBy({ top: step * 120 });
    if (dialog) return;
    const links = rowLinks();
    if (!links.length) {
      window.scrollBy({ top: step * 120 });
      return;
    }
    const now = links.findIndex((link) => link.closest(ROW).contains(document.activeElement));
    links[Math.min(Math.max(now + step, 0), links.length - 1)].focus();
  }

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
    const dialog = document.querySelector("dialog[open]");
    if (event.key === "Escape") {
      const panel = document.querySelector("[data-choices]:not([hidden])");
      if (dialog) return; // the browser closes it
      if (panel) closePanel(panel);
      else if (isTyping(event.target)) leaveField(event.target);
      return;
    }
    if (document.body.dataset.singleKeys !== "on" || isTyping(event.target) || event.key.length !== 1) return;
    const key = event.key.toLowerCase();
    const element = keyed(dialog || document, key);
    if (element) {
      event.preventDefault();
      if (!event.repeat) press(element); // a key held down is one answer
    } else if (key === "j" || key === "k") {
      event.preventDefault();
      walk(key === "j" ? 1 : -1, dialog);
    }
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-opens], [data-closes], [data-cycles]");
    if (!button) return;
    if (button.dataset.cycles) nextView(button.dataset.cycles);
    const other = document.getElementById(button.dataset.opens || button.dataset.closes || "");
    if (!other) return;
    if (button.dataset.closes) closePanel(other);
    else if (other.tagName === "DIALOG") {
      listKeys(other);
      other.showModal();
    }
    else openPanel(other, button);
  });

  // refusals carry a fragment that says why: show it like any other answer
  document.addEventListener("htmx:beforeSwap", (event) => {
    if ([409, 422].includes(event.detail.xhr.status)) {
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    }
  });

  // after an answer the hand expects the keys, not a focus that was lost with the old item
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target.id !== BENCH && event.detail.elt.id !== BENCH) return;
    const bench = document.getElementById(BENCH);
    const wanted = bench && bench.querySelector("[data-focus]");
    if (wanted) wanted.focus();
    else backToBench();
    window.scrollTo({ top: 0 });
  });

  document.addEventListener("DOMContentLoaded", () => {
    const wanted = document.querySelector(`#${BENCH} [data-focus]`);
    if (wanted) wanted.focus();
    else backToBench();
  });
})();
