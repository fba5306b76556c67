// @ts-check
// Connects the page with the server: sends what the person asks for, shows what comes back.
"use strict";

(() => {
  const { by, field, all, say, side, stops, show } = LiveView;
  const controls = /** @type {HTMLFieldSetElement} */ (by("controls"));
  /** @type {any} */
  const Bokeh = /** @type {any} */ (window).Bokeh;
  const { token, path } = JSON.parse(by("connection").textContent || "");
  /** @type {any} What page and server tell each other. */
  let room = null;
  /** @type {View | null} */
  let view = null;
  let wishes = 0;
  /** @type {number | null} The iteration to go to when the server is ready. */
  let goal = null;
  let going = false;

  /** @param {Record<string, unknown>} what */
  const wish = (what) => {
    if (room) room.wish = JSON.stringify({ ...what, number: ++wishes });
  };

  /** @param {string} why the page cannot be used now; "": it can */
  const wait = (why) => {
    controls.disabled = why !== "";
    by("state").hidden = !why;
    say(by("state"), why);
  };

  const drawn = () => {
    if (!view) return;
    const frame = view.frame;
    // Bokeh paints in the next animation frame; there is none while the page is hidden.
    requestAnimationFrame(() => requestAnimationFrame(() => { room.seen = frame; }));
  };

  const arrived = () => {
    const stop = view?.stop;
    view = /** @type {View} */ (JSON.parse(room.frame.view));
    for (const [id, values] of Object.entries(room.frame.changes)) {
      room.document.get_model_by_id(id).setv(values, { sync: false });
    }
    show(view);
    wait("");
    controls.classList.remove("preparing");
    if (stop !== undefined && view.stop && view.stop !== stop) look();
    // An address that was not understood stays to be mended, until something is done.
    const query = view.misread ? location.search : view.url && `?${view.url}`;
    const address = `${location.pathname}${query}`;
    if (history.state?.key !== view.key || location.pathname + location.search !== address) {
      history.replaceState({ key: view.key }, "", address);
    }
    going = false;
    travel();
    drawn();
  };

  /** Where the screen is small, the card of a stop goes to the top, so that the picture is seen, too. */
  const look = () => {
    by("why").toggleAttribute("open", window.matchMedia("(min-width: 60rem)").matches);
    if (by("pictures").getBoundingClientRect().bottom > window.innerHeight) {
      if (window.matchMedia("(max-width: 60rem)").matches) by("stop").scrollIntoView();
    }
  };

  const travel = () => {
    if (goal === null || going) return;
    going = true;
    wish({ do: "go_to", at: goal });
    goal = null;
  };

  /** Asks for the server until it answers, then loads the page again: the training is kept there. */
  const lost = async () => {
    room = null;
    wait("Preparing… The connection is lost. The training is kept, and the page tries to reach it.");
    for (;;) {
      try {
        if ((await fetch(location.pathname)).ok) break;
      } catch {
        // not yet
      }
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    location.reload();
  };

  // Controls --------------------------------------------------------------------------------------

  /** @param {string} id @param {string} event @param {() => void} act */
  const on = (id, event, act) => by(id).addEventListener(event, act);
  /** What the last click asked for; the next click goes by it until the server has answered. */
  let asked = { playing: "", number: 0 };
  const playing = () => (view && view.answered >= asked.number ? view.playing : asked.playing);
  /** @param {"" | "iterations" | "lines"} what */
  const turn = (what) => {
    asked = { playing: what, number: wishes + 1 };
    wish({ do: { "": "pause", iterations: "play", lines: "slow" }[what] });
  };
  const play = () => {
    if (!playing()) draw(false);
    turn(playing() ? "" : "iterations");
  };

  for (const button of all("[data-do]")) {
    button.addEventListener("click", () => wish({ do: button.dataset.do }));
  }
  on("play", "click", play);
  on("slow", "click", () => turn(playing() === "lines" ? "" : "lines"));
  on("speed", "change", () => {
    field("speed").dataset.wish = String(wishes + 1);
    wish({ do: "speed", value: Number(field("speed").value) });
  });
  on("pace", "input", () => wish({ do: "pace", value: Number(field("pace").value) }));
  on("history", "input", () => {
    goal = view?.kept[Number(field("history").value)] ?? null;
    travel();
  });
  on("beside", "change", () => wish({ do: "beside", on: field("beside").checked }));
  for (const radio of all("[name=which]")) radio.addEventListener("change", () => view && show(view));
  for (const button of all("[data-whose]")) {
    button.addEventListener("click", () => {
      /** @type {HTMLInputElement} */ (all("[name=which]")[Number(button.dataset.whose)]).checked = true;
      if (view) show(view);
      by("choices").scrollIntoView();
    });
  }

  for (const box of all("[data-layer]")) {
    box.addEventListener("change", () => {
      const shown = /** @type {HTMLInputElement} */ (box).checked;
      wish({ do: "layer", name: box.dataset.layer, on: shown });
    });
  }

  /** @param {HTMLElement} input @param {string} name @param {string} text */
  const choose = (input, name, text) => {
    delete input.dataset.typed;
    input.dataset.wish = String(wishes + 1);
    wish({ do: "choose", side: side(), name, text, field: `${side()} ${name}` });
  };
  /** @param {string} name of a choice that goes back to what is in force */
  const restore = (name) => {
    const force = view?.choices[side()][name] ?? "";
    if (name === "regularizers") {
      for (const input of all("[data-strength]")) delete input.dataset.typed;
      choose(by(name), name, force);
    } else {
      const [input] = /** @type {HTMLInputElement[]} */ (all(`[data-choice="${name}"]`));
      input.value = force;
      choose(input, name, force);
    }
  };
  by("choices").addEventListener("input", (event) => {
    /** @type {HTMLElement} */ (event.target).dataset.typed = "";
  });
  for (const button of all("[data-restore]")) {
    button.addEventListener("click", () => restore(button.dataset.restore ?? ""));
  }
  by("choices").addEventListener("keydown", (event) => {
    const input = /** @type {HTMLElement} */ (event.target);
    const name = input.dataset.choice ?? (input.matches("[data-regularizer], [data-strength]") ? "regularizers" : "");
    if (event.key === "Escape" && name) restore(name);
  });
  for (const input of all("[data-choice]")) {
    input.addEventListener("change", () => {
      choose(input, input.dataset.choice ?? "", /** @type {HTMLInputElement} */ (input).value);
    });
  }
  const regularizers = () => all("[data-regularizer]")
    .filter((box) => /** @type {HTMLInputElement} */ (box).checked)
    .map((box) => box.dataset.regularizer)
    .map((name) => `${name}:${/** @type {HTMLInputElement} */ (all(`[data-strength="${name}"]`)[0]).value}`)
    .join(",");
  for (const input of all("[data-regularizer], [data-strength]")) {
    input.addEventListener("change", () => {
      delete input.dataset.typed;
      choose(by("regularizers"), "regularizers", regularizers());
    });
  }

  const pad = drawingPad(/** @type {HTMLCanvasElement} */ (by("pad")), (points) => wish({ do: "draw", points }));
  /** @param {boolean} open whether the pad lies over the picture */
  const draw = (open) => {
    by("drawing").hidden = !open;
    by("draw").setAttribute("aria-pressed", String(open));
    if (open && playing()) turn(""); // nobody sees it behind the pad
    if (open) by("drawing").scrollIntoView({ block: "nearest" });
  };
  on("draw", "click", () => draw(by("drawing").hidden));
  on("drawn", "click", () => draw(false));
  on("wipe", "click", () => pad.wipe());

  // Tour and link ---------------------------------------------------------------------------------

  /** @param {number} by_ how many stops further */
  const walk = (by_) => {
    const at = stops.findIndex((stop) => stop.name === view?.stop);
    wish({ do: "tour", name: stops[at + by_].name });
  };
  for (const button of all("[data-tour]")) {
    button.addEventListener("click", () => wish({ do: "tour", name: button.dataset.tour }));
  }
  on("before", "click", () => walk(-1));
  on("after", "click", () => walk(1));
  on("leave", "click", () => wish({ do: "tour", name: "" }));
  on("copy", "click", async () => {
    const link = `${location.origin}${location.pathname}${view?.link ? `?${view.link}` : ""}`;
    try {
      await navigator.clipboard.writeText(link);
      say(by("copied"), "copied");
    } catch {
      say(by("copied"), link); // the browser forbids it: to be copied by hand
    }
  });

  document.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (controls.disabled || event.ctrlKey || event.metaKey) return;
    const typing = target.closest("input:not([type=checkbox], [type=radio], [type=range]), select, textarea");
    const pressing = target.closest("input, select, button, summary, textarea"); // Space is theirs
    if (event.key === " " && !pressing) play();
    else if (event.key === "." && !typing) wish({ do: "iterate" });
    else return;
    event.preventDefault();
  });

  // Connection ------------------------------------------------------------------------------------

  const connect = async () => {
    Bokeh.set_log_level("warn");
    const query = location.search;
    const address = `${location.protocol.replace("http", "ws")}//${location.host}${path}`;
    try {
      await Bokeh.embed.add_document_from_session(address, token, document.body, all("[data-plot]"));
    } catch {
      return lost();
    }
    const [opened] = Bokeh.documents;
    opened.on_event("connection_lost", lost);
    room = opened.all_roots.find((/** @type {any} */ root) => root.properties.wish);
    document.dispatchEvent(new Event("plot"));
    room.properties.frame.change.connect(arrived);
    return wish({ do: "open", key: history.state?.key ?? null, query });
  };
  void connect();
})();
