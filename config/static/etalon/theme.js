// Light, dark or as the system says. Loaded before the page is drawn, so that it does not flash. Who is signed in has
// a theme that the server keeps (data-kept-theme); a stranger's stays in the browser.
"use strict";
(() => {
  const KEY = "etalon-theme";
  const CHOICES = ["light", "dark", "system"];

  function stored() {
    const kept = document.documentElement.dataset.keptTheme;
    if (kept) return kept;
    try {
      const choice = localStorage.getItem(KEY);
      return CHOICES.includes(choice) ? choice : "system";
    } catch {
      return "system"; // storage is switched off: the system decides
    }
  }

  function apply(choice) {
    if (choice === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
    }
  }

  apply(stored());
  document.addEventListener("DOMContentLoaded", () => apply(stored()));
  document.addEventListener("click", (click) => {
    const button = click.target.closest("[data-theme-choice]");
    if (!button) return;
    if (document.documentElement.dataset.keptTheme) {
      document.documentElement.dataset.keptTheme = button.dataset.themeChoice; // the button itself tells the server
      apply(button.dataset.themeChoice);
      return;
    }
    try {
      localStorage.setItem(KEY, button.dataset.themeChoice);
    } catch {
      // the choice lasts as long as the page
    }
    apply(button.dataset.themeChoice);
  });
})();
