"""`python -m ganlab.lab NAME [name=value ...]`; without a name, lists all laboratories."""

import sys

from ganlab import lab
from ganlab.commands import command_line
from ganlab.commands.terminal import outputs

USAGE = """\
usage: ganlab lab NAME [name=value ...]

{labs}
`ganlab lab NAME --help` explains one.  Options that it does not know go to the training's config.
"""


def main() -> None:
    """Runs the command in sys.argv."""
    words = sys.argv[1:]
    if not words or words[0] in command_line.HELP:
        width = max(map(len, lab.LABS))
        lines = (f"  {name:{width}}  {about}\n" for name, (_, about) in lab.LABS.items())
        print(USAGE.format(labs="".join(lines)), end="")
        return
    with outputs(escape=False), command_line.exit_with_message():
        for path in lab.run(words):
            print(path)


if __name__ == "__main__":
    main()
