// @ts-check
// The expected best of k runs, a line for each value of the chosen setting.
"use strict";

(() => {
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8a8f96"];
  const DASHES = ["solid", "dashed"]; // of the first seven lines, and of more
  const grouping = /** @type {HTMLSelectElement} */ (document.getElementById("grouping"));
  const groups = /** @type {Record<string, {label: string, k: number[], best: number[]}[]>} */ (
    JSON.parse(document.getElementById("budgets")?.textContent ?? "{}")
  );

  /** @type {any} */
  let plot;
  const draw = () => {
    const lines = groups[grouping.value].map((line, i) => ({
      label: line.label,
      color: COLOURS[i % COLOURS.length],
      dash: DASHES[Math.floor(i / COLOURS.length) % DASHES.length],
      xs: line.k,
      ys: line.best.map((value) => value ?? NaN),
    }));
    document.dispatchEvent(new CustomEvent("lines", { detail: { name: "budgets", plot, lines } }));
  };

  grouping.addEventListener("change", draw);
  document.addEventListener("plot", (event) => {
    const { detail } = /** @type {CustomEvent<any>} */ (event);
    if (detail.name !== "budgets") return;
    plot = detail;
    draw();
  });
  draw();
})();
