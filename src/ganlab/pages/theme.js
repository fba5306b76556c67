// @ts-check
// Light or dark: as the system has it until the reader chooses.  Dispatches "themechange".
"use strict";

(() => {
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");

  /** @returns {string | null} what the reader has chosen on an earlier visit */
  const kept = () => {
    try {
      return localStorage.getItem("ganlab-theme");
    } catch {
      return null; // storage is forbidden
    }
  };

  const apply = () => {
    const theme = kept() ?? root.dataset.chosen ?? (system.matches ? "dark" : "light");
    if (root.dataset.theme === theme) return;
    root.dataset.theme = theme;
    document.dispatchEvent(new Event("themechange"));
  };

  apply();
  system.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    const name = () => {
      button.textContent = root.dataset.theme === "dark" ? "Light" : "Dark";
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      const theme = root.dataset.theme === "dark" ? "light" : "dark";
      root.dataset.chosen = theme;
      try {
        localStorage.setItem("ganlab-theme", theme);
      } catch {
        // it lasts until the page is left
      }
      apply();
    });
    document.addEventListener("themechange", name);
    name();
  });
})();
