// @ts-check
// Two runs side by side: chosen by menus or by the buttons of the table; tells the page ("chosen").
"use strict";

(() => {
  const menus = [0, 1].map((side) => /** @type {HTMLSelectElement} */ (document.getElementById(`side-${side}`)));
  const rows = /** @type {HTMLTableElement} */ (document.getElementById("differing")).tBodies[0];
  const differences = /** @type {Record<string, string[]>} setting -> its value in each run */ (
    JSON.parse(document.getElementById("differences")?.textContent ?? "{}")
  );

  /**
   * @param {string} kind of the cell: td or th
   * @param {string} text
   */
  const cell = (kind, text) => {
    const made = document.createElement(kind);
    made.textContent = text;
    if (kind === "th") made.setAttribute("scope", "row");
    return made;
  };

  /** @param {number[]} runs */
  const compare = (runs) => {
    const differing = Object.entries(differences).filter(([, values]) => values[runs[0]] !== values[runs[1]]);
    rows.replaceChildren(...differing.map(([name, values]) => {
      const row = document.createElement("tr");
      row.append(cell("th", name), ...runs.map((run) => cell("td", values[run])));
      return row;
    }));
    if (!differing.length) {
      const row = document.createElement("tr");
      row.append(cell("td", "None."));
      rows.append(row);
    }
  };

  const show = () => {
    const runs = menus.map((menu) => Number(menu.value));
    runs.forEach((run, side) => {
      const template = /** @type {HTMLTemplateElement} */ (document.getElementById(`portrait-${run}`));
      document.getElementById(`portrait-of-${side}`)?.replaceChildren(template.content.cloneNode(true));
    });
    for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("button[data-side]"))) {
      const row = /** @type {HTMLElement} */ (button.closest("tr"));
      button.setAttribute("aria-pressed", String(Number(row.dataset.run) === runs[Number(button.dataset.side)]));
    }
    compare(runs);
    document.dispatchEvent(new CustomEvent("chosen", { detail: runs }));
  };

  document.getElementById("table")?.addEventListener("click", (event) => {
    const button = /** @type {HTMLElement} */ (event.target).closest("button");
    const row = /** @type {HTMLElement | null | undefined} */ (button?.closest("tr"));
    if (!button || button.dataset.side === undefined || row?.dataset.run === undefined) return;
    menus[Number(button.dataset.side)].value = row.dataset.run;
    show();
  });
  menus.forEach((menu) => menu.addEventListener("change", show));
  show();
})();
