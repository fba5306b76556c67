"""Which image is real?  A quiz for one person: `python -m ganlab.quiz run=DIR`."""

import asyncio
import secrets
from pathlib import Path
from typing import Any, Literal

from ganlab import load
from ganlab.commands import command_line
from ganlab.runs.folder import Run, pointed_at
from ganlab.spec import seed_range


def quiz(
    run: str,
    mode: Literal["untimed", "timed"] = "untimed",
    paired: bool = False,
    n: int = 50,
    practice: int = 6,
    feedback: bool = False,
    seed: int | None = None,
    truncation: float | None = None,
    split: Literal["train", "test"] | None = None,
    compress: int | Literal["source"] | None = "source",
    person: str | None = None,
    checkpoint: str | int = "last",
    root: str | None = None,
    port: int = 0,
    show: bool = True,
    trust: bool = False,
) -> tuple[dict[str, Any], Path]:
    """Asks a person, in the browser, which images are real; returns the result and its file.

    The file is RUN/quiz/TIME-MODE.json.  A quiz that is not finished writes nothing.

    Args:
        run: the run's folder, or the newest run below a folder, or a checkpoint file; last: the
            newest run below outputs/.
        mode: untimed: an image stays until the answer, and the result is the share of errors
            (HYPE-infinity); timed: it is seen for a moment, shorter after each right answer, and
            the result is the exposure that the person needs (HYPE-time).
        paired: shows a real and a generated image at once; else one, half of the time a real one.
        n: number of trials that count.
        practice: trials before them that do not count, each followed by the right answer.
        feedback: tells the right answer after the trials that count, too.
        seed: of images and order; null: a new one for each quiz, noted in the result.
        truncation: of the generated images, as in ganlab.sample.
        split: where the real images are from; null: test where the data has it, else train.
        compress: quality in 1..100 of the JPEG that real and generated images pass through; null:
            none; source: that of the data's files, if they are JPEGs of the images' own size.
        person: a name for the result.
        checkpoint: last: the newest; best: the one with the best score in training; or the number
            of its iteration.
        root: location of the data, if it has moved since training.
        port: of the server on this machine; 0: one that is free.
        show: opens the page in the default browser.
        trust: build parts that are not ganlab's own, if the run's config names any.
    """
    seed = secrets.randbelow(2**32) if seed is None else seed
    seed_range(seed)
    from ganlab.commands import sampling
    from ganlab.commands.questions import Asked, questions
    from ganlab.pages import loopback
    from ganlab.quizzing import results, server
    from ganlab.quizzing.play import Play
    from ganlab.quizzing.staircase import Staircase
    from ganlab.quizzing.trials import Design

    design = Design(n, practice, paired)
    folder, which = pointed_at(run, str(checkpoint))
    gan = sampling.on_device(load(folder, which, trust=trust))
    wanted = Asked(seed, truncation, split, compress)
    asked = questions(Run(folder), gan, design, wanted, root, trust=trust)
    about: dict[str, Any] = {"mode": mode, "paired": paired, "n": n, "seed": seed}
    about |= {"checkpoint": which, "iteration": gan.iterations, "truncation": truncation}
    about |= {"person": person, **asked.about}
    staircase = Staircase() if mode == "timed" else None
    play = Play(design, asked.trials, staircase, feedback=feedback)
    page = server.page(play, "/".join(folder.absolute().parts[-2:]), asked.spec, about)
    served = server.Served(play, about, page, lambda result: results.save(folder, result))
    asyncio.run(loopback.serve(served.application(), port, show=show, stop=served.ended))
    return served.outcome()


def tell(outcome: tuple[dict[str, Any], Path]) -> None:
    """Prints a result and its file."""
    from ganlab.quizzing import results

    found, file = outcome
    print(results.sentence(found))
    print(file)


if __name__ == "__main__":
    command_line.call(quiz, show=tell)
