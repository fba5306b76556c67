// @ts-check
// The image on show, the time that it took, and the link and the command that lead to it.
"use strict";

class Picture {
  /** @param {Explorer} explorer */
  constructor(explorer) {
    this.explorer = explorer;
    this.canvas = element("image", HTMLCanvasElement);
    this.status = element("status", HTMLElement);
    this.drawing = false;
    this.wanted = false;
    /** The address that was read or written last; another one is about to be followed. */
    this.address = location.hash;
    explorer.onChange(() => this.draw());
    explorer.onChange(() => {
      const command = explorer.space.command(explorer.point);
      element("command", HTMLElement).textContent = command ?? "none, as it is not a seed's own";
    });
    addEventListener("hashchange", () => this.follow());
    element("png", HTMLButtonElement).addEventListener("click", () => {
      this.canvas.toBlob((blob) => blob && Painter.offer(blob, `${this.name}.png`));
    });
    element("link", HTMLButtonElement).addEventListener("click", () => this.copy());
  }

  /** A name for a file of this image. */
  get name() {
    const { seed, moves } = this.explorer.point;
    return seed !== null && !moves.some(Boolean) ? `seed-${seed}` : "point";
  }

  get link() {
    return this.explorer.point.link(this.explorer.about.codes);
  }

  /** Draws the newest point, and again as long as it has moved meanwhile. */
  async draw() {
    this.wanted = true;
    if (this.drawing) return;
    this.drawing = true;
    this.canvas.setAttribute("aria-busy", "true");
    try {
      while (this.wanted) {
        this.wanted = false;
        await this.drawn(this.explorer.point);
      }
    } catch (error) {
      complain(`This image cannot be drawn: ${error}`);
    }
    this.drawing = false;
    this.canvas.setAttribute("aria-busy", "false");
  }

  /** @param {Point} point */
  async drawn(point) {
    const answer = await this.explorer.space.draw(point, Lane.SHOWN);
    if (!answer) return;
    Painter.put(this.canvas, Painter.pixels(answer.output, this.explorer.about.image));
    const link = point.link(this.explorer.about.codes);
    this.canvas.dataset.shown = link;
    if (location.hash === this.address) this.note(link);
    const { milliseconds } = answer;
    const digits = milliseconds < 10 ? 1 : 0;
    this.status.textContent = `${milliseconds.toFixed(digits)} ms an image`;
    this.canvas.dispatchEvent(new Event("drawn"));
  }

  /**
   * Puts a link into the address.
   * @param {string} link
   */
  note(link) {
    history.replaceState(null, "", `#${link}`);
    this.address = location.hash;
  }

  /** Shows the point that the address names, if it names one. */
  follow() {
    this.address = location.hash;
    const link = this.address.slice(1);
    if (!link || link === this.canvas.dataset.shown) return;
    const point = Point.of(link, this.explorer.space.expected);
    if (point) this.explorer.show(point);
    else complain("The link in the address is damaged, or of another generator.");
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(location.href);
      this.status.textContent = "The link is copied.";
    } catch {
      complain("This browser does not let the page copy; the link is in its address bar.");
    }
  }
}

/**
 * Says what went wrong; an empty text takes it back.
 * @param {string} text
 */
function complain(text) {
  const place = element("complaint", HTMLElement);
  place.textContent = text;
  place.hidden = !text;
}
