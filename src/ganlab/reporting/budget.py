"""How much of a page each kind of content may take, so that a page is never over 20 MB."""

PAGE = 20_000_000  # bytes of the file
PICTURES = 9_000_000  # characters of samples over time, of all runs together
OTHERS = 2_000_000  # characters of the other pictures of one run
NUMBERS = 300_000  # numbers in the curves of all runs together
POINTS = 2_000  # of one curve, at most
LETTERS = 400  # of a text from a run; a longer one is cut
LINES = 500  # settings, verdicts or scorings of one run that are shown


def cut(text: object, most: int = LETTERS) -> str:
    """A text of at most `most` characters."""
    said = str(text)
    return said if len(said) <= most else f"{said[: most - 1]}…"
