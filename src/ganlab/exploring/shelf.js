// @ts-check
// Points that the reader keeps: a list with small images, to a file and back.
// Dispatches "change" when the list has changed.
"use strict";

/** @typedef {{number: number, point: Point}} Kept */

class Shelf extends EventTarget {
  /** @param {Explorer} explorer */
  constructor(explorer) {
    super();
    this.explorer = explorer;
    this.list = element("shelf", HTMLUListElement);
    /** @type {Kept[]} */
    this.kept = [];
    this.count = 0;
    element("keep", HTMLButtonElement).addEventListener("click", () => this.keep(explorer.point));
    element("save", HTMLButtonElement).addEventListener("click", () => this.save());
    const file = element("file", HTMLInputElement);
    file.addEventListener("change", async () => {
      if (file.files?.length) await this.load(file.files[0]);
      file.value = "";
    });
  }

  /** @param {Point} point */
  keep(point) {
    const one = { number: ++this.count, point };
    this.kept.push(one);
    this.list.append(this.item(one));
    this.dispatchEvent(new Event("change"));
  }

  /** @param {Kept} one @returns {HTMLLIElement} */
  item(one) {
    const { explorer } = this, [, height, width] = explorer.about.image;
    const item = document.createElement("li"), canvas = document.createElement("canvas");
    Object.assign(canvas, { width, height, className: "pixels" });
    const show = document.createElement("button"), remove = document.createElement("button");
    show.type = remove.type = "button";
    show.className = "thumb";
    show.setAttribute("aria-label", `Show point ${one.number}`);
    show.append(canvas, String(one.number));
    show.addEventListener("click", () => explorer.show(one.point));
    remove.className = "remove";
    remove.textContent = "×";
    remove.setAttribute("aria-label", `Remove point ${one.number}`);
    remove.addEventListener("click", () => {
      this.kept = this.kept.filter((other) => other !== one);
      item.remove();
      this.dispatchEvent(new Event("change"));
    });
    item.append(show, remove);
    this.thumbnail(one, canvas).catch((error) => complain(String(error)));
    return item;
  }

  /** @param {Kept} one @param {HTMLCanvasElement} canvas */
  async thumbnail({ point }, canvas) {
    const answer = await this.explorer.space.draw(point, Lane.KEPT);
    if (answer) Painter.put(canvas, Painter.pixels(answer.output, this.explorer.about.image));
  }

  /** Offers a file: whose points they are, and of each its link, its vector and its code. */
  async save() {
    const { space, about } = this.explorer;
    const points = [];
    for (const { point } of this.kept) {
      const origin = await space.origin(point, Lane.KEPT);
      const vector = origin && Array.from(space.moved(origin, point.moves));
      points.push({ link: point.link(about.codes), vector, code: Array.from(point.code) });
    }
    const { generator, name, space: where } = about;
    const content = { made_by: "ganlab explore", generator, name, space: where, points };
    const text = JSON.stringify(content, null, 1);
    Painter.offer(new Blob([text], { type: "application/json" }), "points.json");
  }

  /**
   * Keeps the points of a file too.
   * @param {File} file
   */
  async load(file) {
    try {
      const content = JSON.parse(await file.text()), { generator, name } = this.explorer.about;
      if (content.generator !== undefined && content.generator !== generator) {
        const other = String(content.name ?? "another one").slice(0, 200);
        complain(`${file.name} holds points of another generator: ${other}. This page has ${name}.`);
        return;
      }
      const found = this.points(content);
      complain("");
      for (const point of found) this.keep(point);
    } catch {
      complain(`${file.name} holds no points of this generator.`);
    }
  }

  /**
   * The points of a file.  Early ones do not say whose they are, so sizes are compared, too.
   * @param {any} content
   * @returns {Point[]}
   * @throws {TypeError} there are none, or they are of another generator
   */
  points({ space: where, points }) {
    const { space, about } = this.explorer, { dim, codes } = about;
    const width = codes.choices.length + codes.continuous;
    /** @param {unknown} numbers @param {number} size */
    const fits = (numbers, size) => !Array.isArray(numbers) || numbers.length === size;
    if (!points.length || (where ?? about.space) !== about.space) throw new TypeError("space");
    return points.map((/** @type {any} */ { link, vector, code }) => {
      const point = Point.of(String(link), space.expected);
      if (!point || !fits(vector, dim) || !fits(code, width)) throw new TypeError("point");
      return point;
    });
  }
}
