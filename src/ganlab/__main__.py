"""The console script: `ganlab COMMAND ...` is `python -m ganlab.COMMAND ...`."""

import os
import runpy
import sys

COMMANDS = {
    "train": "train a GAN: one run, or with -m a sweep",
    "evaluate": "scores of trained runs: FID, IS, KID, precision and recall, with their protocol",
    "sweep": "state and results of a sweep: status, table, best, plot",
    "report": "runs or a sweep as one HTML file: curves, samples, scores, comparisons",
    "sample": "images from a run: grids, films, interpolations, directions, arrays",
    "invert": "finds real images in the latent space of a run",
    "explore": "a page from a run in which its generator draws: sliders, map, interpolation",
    "export": "a trained generator to give away: weights, ONNX, a model card, to the Hub",
    "quiz": "which image is real?  A quiz for one person, in the browser",
    "lab": "experiments on data with a known distribution: figure-1, proposition-1, grid, ...",
    "wandb": "Weights & Biases: sync DIR uploads offline runs, dashboard DIR makes a workspace",
    "fetch-weights": "the Inception network's weights, to score without a network later",
}
OWN_PARTS = ("train", "lab")  # commands that import the user's parts from the working folder
USAGE = """\
usage: ganlab COMMAND [name=value ...]

{commands}
`ganlab COMMAND --help` explains one.  Completion of groups, choices and keys:
  eval "$(ganlab -sc install=bash)"     (or zsh, fish)
""".format(commands="".join(f"  {name:13} {text}\n" for name, text in COMMANDS.items()))


def main() -> None:
    """Runs the command named by the first argument."""
    command, *rest = sys.argv[1:] or ["--help"]
    if command in ("-h", "--help"):
        print(USAGE, end="")
    elif command == "--version":
        from ganlab import __version__

        print(f"ganlab {__version__}")
    elif {"-sc", "--shell-completion"} & {command, *rest}:
        complete()
    elif command in COMMANDS:
        sys.argv = ["ganlab", *rest]
        if command in OWN_PARTS or "trust=true" in rest:
            sys.path.append("")  # last: nothing in the folder replaces a library
        module = command.replace("-", "_")
        runpy.run_module(f"ganlab.{module}", run_name="__main__", alter_sys=True)
    else:
        sys.stderr.write(f"ganlab: unknown command '{command}'\n\n{USAGE}")
        raise SystemExit(2)


def complete() -> None:
    """Runs Hydra's shell completion for `ganlab train ...`, without importing torch."""
    import hydra

    from ganlab.config.checks import conf_dir

    words = os.environ.get("COMP_LINE", "").split(" ")
    os.environ["COMP_LINE"] = " ".join(words[:1] + words[2:])  # Hydra does not know subcommands
    sys.argv = ["ganlab", *(word for word in sys.argv[1:] if word != "train")]
    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")(print)()


if __name__ == "__main__":
    main()
