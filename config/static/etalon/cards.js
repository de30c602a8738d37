// On a narrow screen a row of a table is a card: every cell says which column it is of. The words are those of the
// table's head; without this script tables scroll sideways.
"use strict";
(() => {
  const ROLES = { TABLE: "table", TBODY: "rowgroup", TR: "row", TD: "cell", TH: "rowheader" };

  function label(table) {
    const heads = [...table.tHead.rows].at(-1).cells;
    if ([...heads].some((head) => head.colSpan > 1)) return;
    const names = [...heads].map((head) => head.innerText.replace(/\s+/g, " ").trim());
    table.dataset.cards = "";
    // a cell that is drawn as a block is no cell any more to who listens: the roles say it again
    for (const part of [table, ...table.querySelectorAll("tbody, tbody tr, tbody td, tbody th")]) part.setAttribute("role", ROLES[part.tagName]);
    for (const row of table.querySelectorAll("tbody tr"))
      [...row.cells].forEach((cell, at) => {
        if (names[at] && cell.colSpan === 1 && cell.tagName === "TD") cell.dataset.label = names[at];
      });
  }

  function look() {
    for (const table of document.querySelectorAll(".scroll > .table:not(.table--checks)")) if (table.tHead) label(table);
  }

  document.addEventListener("DOMContentLoaded", look);
  document.addEventListener("htmx:afterSettle", look);
})();
