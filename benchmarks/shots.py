"""Pictures of pages for the docs, and for whoever changes a page: a window of a real Chromium.

    python benchmarks/shots.py page=FILE to=FOLDER [name=NAME] [at=SELECTOR] [only=NAMES]

A page that opens from disk is shown on a desktop and on a phone, light and dark: four pictures,
FOLDER/NAME-desktop-light.png and so on, or some of them, as in only=desktop-light,phone-dark.  `at`
is scrolled to the top of the window first.
"""

import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from options import asked

OPTIONS = {"page": "", "to": "", "name": "", "at": "", "only": ""}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
DRAWN = """() => document.readyState === "complete"
  && (window.Bokeh?.documents ?? []).every((one) => one.is_idle)
  && document.querySelector("[aria-busy=true]") === null"""


def main() -> None:
    options = asked(OPTIONS, __doc__)
    page, folder = Path(options["page"]).absolute(), Path(options["to"])
    names = options["only"].split(",") if options["only"] else list(windows())
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name in names:
            size, theme = windows()[name]
            file = folder / f"{options['name'] or page.stem}-{name}.png"
            shot(browser, page, file, size, theme, options["at"])


def windows() -> dict[str, tuple[dict[str, int], str]]:
    """name -> (size, theme)."""
    return {f"{n}-{t}": (size, t) for n, size in SIZES.items() for t in ("light", "dark")}


def shot(
    browser: Browser, page: Path, file: Path, size: dict[str, int], theme: str, at: str
) -> None:
    """Makes a picture of a page in a window of this size."""
    opened = browser.new_context(viewport=size, color_scheme=theme).new_page()
    opened.goto(page.as_uri())
    if at:
        opened.evaluate("(at) => document.querySelector(at).scrollIntoView()", at)
    opened.wait_for_timeout(500)  # what comes into view begins to be drawn
    opened.wait_for_function(DRAWN, timeout=60_000)
    opened.wait_for_timeout(500)
    saved(opened, file)
    opened.context.close()


def saved(page: Page, file: Path) -> None:
    """What the window shows of a page, as PNG in 256 colours; prints its size."""
    page.screenshot(path=file, animations="disabled")
    Image.open(file).convert("RGB").quantize(256).save(file, optimize=True)
    print(f"{file}  {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
