// @ts-check
// The way between two points that are kept: a slider, or a film that goes there and back.
"use strict";

class Walk {
  /** @param {Explorer} explorer @param {Shelf} shelf */
  constructor(explorer, shelf) {
    this.explorer = explorer;
    this.shelf = shelf;
    this.ends = ["from", "to"].map((name) => element(name, HTMLSelectElement));
    this.slider = element("way", HTMLInputElement);
    this.said = element("way-said", HTMLOutputElement);
    this.button = element("play", HTMLButtonElement);
    this.playing = false;
    this.wanted = 0;
    shelf.addEventListener("change", () => this.offer());
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value)));
    this.button.addEventListener("click", () => (this.playing ? this.pause() : this.play()));
    this.said.value = "0.00";
    this.offer();
  }

  /** Offers the points that are kept; the last two, unless others are chosen. */
  offer() {
    const { kept } = this.shelf;
    this.ends.forEach((end, i) => {
      const before = end.value;
      end.replaceChildren(...kept.map(({ number }) => new Option(`Point ${number}`, String(number))));
      const usual = kept[Math.max(kept.length - 2 + i, 0)]?.number ?? "";
      const stays = kept.some(({ number }) => String(number) === before) && end.dataset.chosen;
      end.value = stays ? before : String(usual);
      end.onchange = () => {
        end.dataset.chosen = "yes";
        this.go(Number(this.slider.value));
      };
    });
    const able = kept.length > 1;
    for (const one of [...this.ends, this.slider, this.button]) one.disabled = !able;
    element("walk-hint", HTMLElement).hidden = able;
    if (!able) this.pause();
  }

  /**
   * Shows the point at a share of the way.
   * @param {number} t in [0, 1]
   */
  async go(t) {
    const { space } = this.explorer, turn = ++this.wanted;
    const [start, end] = this.ends.map(({ value }) =>
      this.shelf.kept.find(({ number }) => String(number) === value)?.point);
    if (!start || !end) return;
    this.said.value = t.toFixed(2);
    const [a, b] = await Promise.all([start, end].map((point) => space.origin(point, Lane.SHOWN)));
    if (!a || !b || turn !== this.wanted) return;
    const at = space.between(space.moved(a, start.moves), space.moved(b, end.moves), t);
    const code = mixture(start.code, end.code, 1 - t, t);
    const moves = start.moves.map(() => 0);
    this.explorer.show(new Point({ seed: null, at, truncation: null, code, moves }));
  }

  /** Goes to and fro until it is paused, as fast as images come. */
  async play() {
    this.playing = true;
    this.name();
    const canvas = element("image", HTMLCanvasElement);
    let time = Number(this.slider.value) * Walk.SECONDS, last = performance.now();
    while (this.playing) {
      const now = performance.now();
      time += Math.min((now - last) / 1000, 0.25);
      last = now;
      const phase = (time / Walk.SECONDS) % 2;
      this.slider.value = String(phase < 1 ? phase : 2 - phase);
      const drawn = new Promise((resolve) => canvas.addEventListener("drawn", resolve, { once: true }));
      await this.go(Number(this.slider.value));
      await drawn;
      await new Promise(requestAnimationFrame);
    }
  }

  pause() {
    this.playing = false;
    this.name();
  }

  name() {
    this.button.textContent = this.playing ? "Pause" : "Play";
  }
}

Walk.SECONDS = 3; // from one point to the other
