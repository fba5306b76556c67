// @ts-check
// A watched report: asks its server whether the runs went on, and loads itself anew at the same place.
"use strict";

(() => {
  const PERIOD = 2000; // milliseconds between two questions
  const REST = 1500; // since the reader's last action, before the page changes
  const page = /** @type {HTMLElement} */ (document.getElementById("page"));
  const said = /** @type {HTMLElement} */ (document.getElementById("watching"));
  const kept = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-keep]"));
  const PLACE = "ganlab-report";
  let acted = 0;

  /** @param {HTMLElement} element */
  const state = (element) => {
    if (element instanceof HTMLDetailsElement) return String(element.open);
    if (element.dataset.kept !== undefined) return element.dataset.kept;
    if (element instanceof HTMLInputElement && element.type === "checkbox") return String(element.checked);
    if (element instanceof HTMLInputElement || element instanceof HTMLSelectElement) return element.value;
    return null;
  };

  /**
   * @param {HTMLElement} element
   * @param {string} value
   */
  const restore = (element, value) => {
    if (element instanceof HTMLDetailsElement) {
      element.open = value === "true";
    } else if (element instanceof HTMLTableElement || (element instanceof HTMLInputElement && element.type === "range")) {
      element.dispatchEvent(new CustomEvent("restored", { detail: value }));
    } else if (element instanceof HTMLInputElement && element.type === "checkbox") {
      element.checked = value === "true";
    } else if (element instanceof HTMLInputElement) {
      element.value = value;
    } else if (element instanceof HTMLSelectElement) {
      const known = [...element.options].some((option) => option.value === value);
      if (known) element.value = value;
    }
  };

  const keep = () => {
    const states = [...kept].map((element) => [element.id, state(element)]);
    const focus = document.activeElement?.id ?? "";
    const scrolled = [...document.querySelectorAll(".scroll")].map((one) => [one.scrollLeft, one.scrollTop]);
    sessionStorage.setItem(PLACE, JSON.stringify({ states, focus, scrolled, y: scrollY }));
  };

  const goBack = () => {
    const text = sessionStorage.getItem(PLACE);
    sessionStorage.removeItem(PLACE);
    if (!text) return;
    const { states, focus, scrolled, y } = JSON.parse(text);
    for (const [id, value] of states) {
      const element = document.getElementById(id);
      if (element && value !== null) restore(element, value);
    }
    // Inputs first: the menus, filters and axes follow them.
    for (const menu of document.querySelectorAll("select[data-keep]")) menu.dispatchEvent(new Event("change"));
    document.getElementById("search")?.dispatchEvent(new Event("input"));
    const regions = document.querySelectorAll(".scroll");
    regions.forEach((one, i) => scrolled[i] && one.scrollTo(scrolled[i][0], scrolled[i][1]));
    document.getElementById(focus)?.focus({ preventScroll: true });
    scrollTo(0, y);
    addEventListener("load", () => scrollTo(0, y)); // pictures have their heights
  };

  const isBusy = () => Date.now() - acted < REST || document.getElementById("play")?.getAttribute("aria-pressed") === "true";

  const ask = async () => {
    let stamp;
    try {
      stamp = await (await fetch("stamp")).text();
    } catch {
      said.textContent = "The server has ended; this page stays as it is.";
      return;
    }
    if (stamp !== page.dataset.stamp && !isBusy()) {
      keep();
      location.reload();
      return;
    }
    setTimeout(ask, PERIOD);
  };

  for (const kind of ["pointerdown", "pointermove", "keydown", "wheel", "input", "touchmove"]) {
    addEventListener(kind, () => { acted = Date.now(); }, { passive: true });
  }
  history.scrollRestoration = "manual";
  goBack();
  said.textContent = `Watching: the page follows the runs. As of ${new Date().toLocaleTimeString()}.`;
  setTimeout(ask, PERIOD);
})();
