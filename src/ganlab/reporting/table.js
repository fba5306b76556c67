// @ts-check
// Sorts and filters the table of runs; tells the page which runs are left ("filtered").
"use strict";

(() => {
  const table = /** @type {HTMLTableElement} */ (document.getElementById("table"));
  const body = table.tBodies[0];
  const rows = /** @type {HTMLTableRowElement[]} */ ([...body.rows]);
  const heads = /** @type {HTMLTableCellElement[]} */ ([...(table.tHead?.rows[0].cells ?? [])]);
  const FIRST = 2; // the columns before those of the report: the buttons, the run
  const search = /** @type {HTMLInputElement} */ (document.getElementById("search"));
  const count = document.getElementById("count");
  const fieldsets = /** @type {HTMLFieldSetElement[]} */ ([...document.querySelectorAll("#filters fieldset")]);

  /**
   * @param {HTMLTableRowElement} row
   * @param {number} column
   */
  const value = (row, column) => row.cells[column].dataset.value;

  /**
   * Missing values come last, whatever the order.
   * @param {number} column
   * @param {string} order ascending or descending
   */
  const sort = (column, order) => {
    const numeric = heads[column].classList.contains("number");
    const sign = order === "ascending" ? 1 : -1;
    const keyed = rows.map((row, place) => ({ row, place, key: value(row, column) }));
    keyed.sort((a, b) => {
      if (a.key === undefined || b.key === undefined) {
        return Number(a.key === undefined) - Number(b.key === undefined) || a.place - b.place;
      }
      const by = numeric ? Number(a.key) - Number(b.key) : a.key.localeCompare(b.key, "en", { numeric: true });
      return sign * by || a.place - b.place;
    });
    body.append(...keyed.map(({ row }) => row));
    heads.forEach((head, i) => head.hasAttribute("aria-sort") && head.setAttribute("aria-sort", i === column ? order : "none"));
    table.dataset.kept = `${column} ${order}`;
  };

  heads.forEach((head, column) => {
    head.querySelector("button")?.addEventListener("click", () => {
      sort(column, head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending");
    });
  });
  table.addEventListener("restored", (event) => {
    const [column, order] = /** @type {CustomEvent<string>} */ (event).detail.split(" ");
    if (heads[Number(column)]) sort(Number(column), order);
  });

  /**
   * Whether a box is checked; one that is not there counts as checked.
   * @param {HTMLFieldSetElement} fieldset
   * @param {string} name
   */
  const isOn = (fieldset, name) =>
    /** @type {HTMLInputElement | null} */ (fieldset.querySelector(name))?.checked ?? true;

  /** @param {HTMLFieldSetElement} fieldset */
  const isChosen = (fieldset) => {
    const boxes = /** @type {NodeListOf<HTMLInputElement>} */ (fieldset.querySelectorAll("input[data-value]:checked"));
    const kept = new Set([...boxes].map((box) => box.value));
    return (/** @type {HTMLTableCellElement} */ cell) => kept.has(cell.textContent ?? "");
  };

  /** @param {HTMLFieldSetElement} fieldset */
  const inRange = (fieldset) => {
    const [least, most] = [".least", ".most"].map((name) => /** @type {HTMLInputElement} */ (fieldset.querySelector(name)).value);
    const known = isOn(fieldset, ".known");
    return (/** @type {HTMLTableCellElement} */ cell) => {
      const found = Number(cell.dataset.value);
      return known && (least === "" || found >= Number(least)) && (most === "" || found <= Number(most));
    };
  };

  /**
   * Whether a row has a value that the reader keeps, or none if those are kept.
   * @param {HTMLFieldSetElement} fieldset
   */
  const test = (fieldset) => {
    const column = Number(fieldset.dataset.column) + FIRST;
    const unknown = isOn(fieldset, ".unknown");
    const fits = fieldset.querySelector(".least") ? inRange(fieldset) : isChosen(fieldset);
    return (/** @type {HTMLTableRowElement} */ row) => (value(row, column) === undefined ? unknown : fits(row.cells[column]));
  };

  const filter = () => {
    const words = search.value.toLowerCase();
    const tests = fieldsets.map(test);
    const left = rows.filter((row) => {
      const fits = (row.textContent ?? "").toLowerCase().includes(words) && tests.every((one) => one(row));
      row.hidden = !fits;
      return fits;
    });
    if (count) count.textContent = `${left.length} of ${rows.length} runs`;
    document.dispatchEvent(new CustomEvent("filtered", { detail: new Set(left.map((row) => Number(row.dataset.run))) }));
  };

  search.addEventListener("input", filter);
  document.getElementById("filters")?.addEventListener("input", filter);
  document.getElementById("everyone")?.addEventListener("click", () => {
    search.value = "";
    for (const input of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("#filters input"))) {
      if (input.type === "checkbox") input.checked = true;
      else input.value = "";
    }
    filter();
  });
  filter();
})();
