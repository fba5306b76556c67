// @ts-check
// The way through a quiz.  The server keeps the key; this page learns what it may know.
"use strict";

(() => {
  /**
   * @typedef {{name: string, number: number, of: number, practice: boolean, exposure: number | null, seen: boolean}} Question
   * @typedef {{question?: Question, result?: QuizResult, file?: string | null, error?: string | null}} Next
   * @typedef {Next & {correct?: boolean, right?: string, late?: boolean}} Reply
   */
  const FIXATION = 600; // milliseconds that the cross is seen before a timed image
  const BLINK = 200; // milliseconds after an image appears in which no answer counts: it would be a double click's second
  /** @type {Record<string, string>} */
  const NAMES = {
    real: "It is real.", fake: "It was generated.", left: "The left one is real.", right: "The right one is real.",
  };

  /** @param {string} id */
  const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
  const settings = JSON.parse(element("settings").textContent ?? "");
  const screen = new QuizScreen([...document.querySelectorAll("canvas")], settings);
  /** @type {NodeListOf<HTMLElement>} */
  const crosses = document.querySelectorAll(".cross");
  const progress = /** @type {HTMLProgressElement} */ (element("done"));

  /** @type {Question | null} The question that may be answered now. */
  let open = null;
  let began = 0;
  /** @type {number | null} */
  let shown = null;
  /** @type {() => void} What Enter and the main button do. */
  let proceed = () => {};
  let practised = false;

  /** @type {NodeListOf<HTMLElement>} */
  const buttons = document.querySelectorAll("[data-answer]");

  /** @param {Question | null} question that may be answered now */
  const allow = (question) => {
    open = question;
    for (const button of buttons) button.setAttribute("aria-disabled", String(question === null));
  };

  /** @param {string} id of the one section that is seen */
  const only = (id) => {
    for (const name of ["start", "trial", "result"]) element(name).hidden = name !== id;
    element("feedback").hidden = true;
  };

  /**
   * Asks the server.
   * @param {string} path
   * @param {object} [sent]
   * @returns {Promise<Response>}
   */
  const ask = async (path, sent) => {
    const options = sent && {
      method: "POST", body: JSON.stringify(sent), headers: { "Content-Type": "application/json" },
    };
    const answer = await fetch(path, options);
    if (!answer.ok) throw new Error(`${answer.status}`);
    return answer;
  };

  /** @param {() => Promise<void>} work */
  const attempt = async (work) => {
    element("trouble").textContent = "";
    try {
      await work();
    } catch {
      element("trouble").textContent = "The quiz does not answer: its command has ended, or the page is an old one. "
        + "If the command still runs, load this page again: it goes on where you were.";
    }
  };

  /**
   * Shows a sentence; an empty one takes the last back.
   * @param {string} id
   * @param {string} text
   */
  const tell = (id, text) => {
    element(id).textContent = text;
    element(id).hidden = !text;
  };

  /** @param {number} milliseconds */
  const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

  /** What is said of a timed image that is not shown again. */
  const again = () => {
    const where = element("late").hidden ? "before the page was loaded again" : "in another tab";
    const what = crosses.length === 1 ? "This image was" : "These images were";
    return `${what} shown ${where}. Answer by what you saw, or guess.`;
  };

  /** @param {Question} question */
  const pose = async (question) => {
    only("trial");
    element("count").textContent = element("status").textContent = named(question);
    progress.max = question.of;
    progress.value = question.number - 1;
    screen.fit();
    screen.clear();
    const pixels = await ask(`/images?name=${question.name}`);
    screen.load(new Uint8Array(await pixels.arrayBuffer()));
    shown = null;
    const hidden = question.exposure !== null && question.seen;
    tell("seen", hidden ? again() : "");
    if (question.exposure === null) {
      screen.show();
    } else if (hidden) {
      element("status").textContent = `${named(question)}. ${again()}`;
      screen.mask(); // no second look
    } else {
      for (const cross of crosses) cross.hidden = false;
      await pause(FIXATION);
      for (const cross of crosses) cross.hidden = true;
      shown = await screen.expose(question.exposure);
    }
    began = await quizFrame();
    await pause(BLINK);
    practised = question.practice;
    allow(question);
  };

  /** @param {string} choice */
  const answer = (choice) => attempt(async () => {
    if (open === null) return;
    const { name, number, practice } = open;
    allow(null);
    tell("late", "");
    const milliseconds = performance.now() - began;
    /** @type {Reply} */
    const reply = await (await ask("/answer", { name, answer: choice, milliseconds, shown })).json();
    if (reply.correct === undefined) {
      if (reply.late) tell("late", `${practice ? "Practice trial" : "Trial"} ${number} was already answered.`);
      await follow(reply);
      return;
    }
    const verdict = `${reply.correct ? "Right." : "Wrong."} ${NAMES[reply.right ?? ""]}`;
    element("verdict").textContent = verdict;
    element("verdict").className = reply.correct ? "good" : "bad";
    element("status").textContent = verdict;
    element("feedback").hidden = false;
    if (practice) {
      tell("seen", "");
      screen.show(); // a timed image, too: nothing hangs on it any more
    }
    wait("next", () => follow(reply));
  });

  /**
   * Waits for Enter or a button.
   * @param {string} button
   * @param {() => Promise<void>} then
   */
  const wait = (button, then) => {
    proceed = () => {
      proceed = () => {};
      attempt(then);
    };
    element(button).focus();
  };

  /**
   * Goes on to what the server says is next.
   * @param {Next} next
   */
  const follow = async (next) => {
    if (next.result) {
      finish(next.result, next);
    } else if (next.question && practised && !next.question.practice) {
      introduce(next.question, "Now it counts", `Practice is over. ${next.question.of} trials follow.`);
    } else if (next.question) {
      await pose(next.question);
    }
  };

  /**
   * Shows the first section, whose button leads to a question.
   * @param {Question} question
   * @param {string} [title]
   * @param {string} [text] in place of the instructions
   */
  const introduce = (question, title, text) => {
    only("start");
    practised = false;
    if (title && text) {
      const [head, paragraph] = [document.createElement("h2"), document.createElement("p")];
      head.textContent = title;
      paragraph.textContent = text;
      element("going").textContent = "Start";
      element("start").replaceChildren(head, paragraph, element("go"));
      element("status").textContent = text;
    }
    wait("go", () => pose(question));
  };

  /** @param {Question} question */
  const named = (question) => `${question.practice ? "Practice" : "Trial"} ${question.number} of ${question.of}`;

  /**
   * @param {QuizResult} result
   * @param {Next} next
   */
  const finish = (result, { file, error }) => {
    only("result");
    new QuizOutcome(result).show();
    element("kept").textContent = error ? `The result could not be written: ${error}.` : `Kept in the run's folder: ${file}. You may close this page.`;
    element("result").focus();
  };

  element("go").addEventListener("click", () => proceed());
  element("next").addEventListener("click", () => proceed());
  for (const button of buttons) button.addEventListener("click", (event) => {
    if (event.detail < 2) answer(button.dataset.answer ?? "");
  });
  /** @type {Record<string, string>} */
  const keys = { ArrowLeft: settings.choices[0], ArrowRight: settings.choices[1] };
  if (settings.choices[0] === "real") Object.assign(keys, { r: "real", f: "fake", R: "real", F: "fake" });
  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key in keys && !element("trial").hidden) {
      event.preventDefault();
      answer(keys[event.key]);
    } else if (event.key === "Enter" && !(event.target instanceof HTMLButtonElement)) {
      proceed();
    }
  });

  attempt(async () => {
    /** @type {Next} */
    const next = await (await ask("/state")).json();
    if (!next.question) {
      await follow(next);
      return;
    }
    element("practice")?.toggleAttribute("hidden", !next.question.practice);
    if (next.question.name !== settings.first) element("going").textContent = `Go on: ${named(next.question)}`;
    introduce(next.question);
  });
})();
