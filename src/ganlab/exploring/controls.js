// @ts-check
// The controls beside the image: seed, truncation, class, codes, directions, coordinates.
"use strict";

class Controls {
  /** @param {Explorer} explorer */
  constructor(explorer) {
    this.explorer = explorer;
    this.seed();
    this.truncation();
    this.code();
    this.directions();
    this.coordinate();
  }

  /** @returns {Point} */
  get point() {
    return this.explorer.point;
  }

  seed() {
    const { explorer } = this, field = element("seed", HTMLInputElement);
    explorer.onChange(() => {
      field.value = this.point.seed === null ? "" : String(this.point.seed);
    });
    field.addEventListener("change", () => {
      const seed = Number(field.value);
      const valid = field.value !== "" && Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32;
      complain(valid ? "" : "A seed is a whole number from 0 to 4294967295.");
      if (valid) explorer.show(explorer.space.seeded(seed, this.point));
    });
    element("random", HTMLButtonElement).addEventListener("click", () => {
      complain("");
      const seed = Math.floor(Math.random() * 1_000_000);
      explorer.show(explorer.space.seeded(seed, this.point));
    });
  }

  truncation() {
    if (!document.getElementById("truncation")) return; // it has no meaning, or is fixed
    const slider = element("truncation", HTMLInputElement), most = Number(slider.max);
    const said = element("truncation-said", HTMLOutputElement);
    this.explorer.onChange(() => {
      const { truncation, at } = this.point;
      slider.value = String(truncation ?? most);
      slider.disabled = at !== null;
      said.value = at ? "seeds only" : truncation === null ? "off" : String(truncation);
    });
    slider.addEventListener("input", () => {
      const value = Number(slider.value);
      this.explorer.change({ truncation: value < most ? value : null });
    });
  }

  code() {
    const { explorer } = this, { codes, space } = explorer.about;
    if (codes.choices.length) {
      const choice = element("choice", HTMLSelectElement);
      explorer.onChange(() => {
        choice.value = String(this.point.choice(codes));
        choice.disabled = space === "w" && this.point.at !== null; // w has its class in it
      });
      choice.addEventListener("change", () => {
        explorer.show(this.point.choosing(codes, Number(choice.value)));
      });
    }
    this.sliders("code", {
      read: (i) => this.point.code[codes.choices.length + i],
      write: (i, value) => {
        const code = this.point.code.slice();
        code[codes.choices.length + i] = value;
        explorer.change({ code });
      },
    });
  }

  directions() {
    const { explorer } = this;
    this.sliders("move", {
      read: (k) => this.point.moves[k],
      write: (k, value) => {
        const moves = this.point.moves.slice();
        moves[k] = value;
        explorer.change({ moves });
      },
    });
    element("still", HTMLButtonElement).addEventListener("click", () => {
      explorer.change({ moves: this.point.moves.map(() => 0) });
    });
  }

  coordinate() {
    const { explorer } = this, number = element("coordinate", HTMLInputElement);
    const slider = element("value", HTMLInputElement);
    const said = element("value-said", HTMLOutputElement);
    const place = () => {
      const asked = Math.round(Number(number.value)) || 1;
      return Math.min(Math.max(asked, 1), explorer.about.dim) - 1;
    };
    const read = async () => {
      const { point } = this;
      const origin = await explorer.space.origin(point, Lane.SHOWN);
      if (!origin || point !== this.point) return;
      slider.value = String(origin[place()]);
      said.value = origin[place()].toFixed(2);
    };
    number.addEventListener("change", () => {
      number.value = String(place() + 1);
      read();
    });
    slider.addEventListener("input", async () => {
      const value = Number(slider.value), before = this.point;
      const origin = await explorer.space.origin(before, Lane.SHOWN);
      if (!origin || before !== this.point) return;
      const at = origin.slice();
      at[place()] = value;
      explorer.change({ seed: null, at });
    });
    explorer.onChange(read);
  }

  /**
   * Sliders #NAME-0, #NAME-1, ..., each with an output beside it.
   * @param {string} name
   * @param {{read: (i: number) => number, write: (i: number, value: number) => void}} of
   */
  sliders(name, { read, write }) {
    for (let i = 0; document.getElementById(`${name}-${i}`); i++) {
      const slider = element(`${name}-${i}`, HTMLInputElement);
      const said = element(`${name}-${i}-said`, HTMLOutputElement);
      slider.addEventListener("input", () => write(i, Number(slider.value)));
      slider.addEventListener("dblclick", () => write(i, 0));
      this.explorer.onChange(() => {
        slider.value = String(read(i));
        said.value = read(i).toFixed(2);
      });
    }
  }
}
