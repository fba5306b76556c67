"""The console script: `ganlab COMMAND ...` is `python -m ganlab.COMMAND ...`."""

import os
import runpy
import sys

COMMANDS = {
    "train": "train a GAN: one run, or with -m a sweep",
    "sample": "images, grids and interpolations from a run",
}
USAGE = "usage: ganlab COMMAND [...]\n\n" + "".join(f"  {n:8} {t}\n" for n, t in COMMANDS.items())


def main() -> None:
    """Runs the command named by the first argument."""
    command, *rest = sys.argv[1:] or ["--help"]
    if command in ("-sc", "--shell-completion"):  # Hydra's completion calls `ganlab -sc query=bash`
        words = os.environ.get("COMP_LINE", "").split(" ", 2)
        os.environ["COMP_LINE"] = " ".join([words[0], *words[2:]])
        command, rest = "train", sys.argv[1:]
    if command in ("-h", "--help"):
        print(USAGE, end="")
    elif command in COMMANDS:
        sys.argv = [f"ganlab {command}", *rest]
        runpy.run_module(f"ganlab.{command}", run_name="__main__", alter_sys=True)
    else:
        sys.stderr.write(f"ganlab: there is no command '{command}'\n\n{USAGE}")
        raise SystemExit(2)


if __name__ == "__main__":
    main()
