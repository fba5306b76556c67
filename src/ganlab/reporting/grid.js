// @ts-check
// The grid of two choices: its table, and the last samples of the run in each cell.
"use strict";

(() => {
  const pair = /** @type {HTMLSelectElement} */ (document.getElementById("pair"));
  const cells = /** @type {HTMLElement} */ (document.getElementById("cells"));

  /** @param {HTMLImageElement} image */
  const fill = (image) => {
    const text = document.getElementById(`frames-${image.dataset.run}`)?.textContent ?? "{}";
    const last = /** @type {[number, string][]} */ (JSON.parse(text).samples ?? []).pop();
    if (last) image.src = last[1];
    else image.hidden = true;
  };

  const show = () => {
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById(`pair-${pair.value}`));
    cells.replaceChildren(template.content.cloneNode(true));
    cells.querySelectorAll("img").forEach(fill);
  };

  pair.addEventListener("change", show);
  show();
})();
