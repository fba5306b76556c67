"""The live page's speed in a real Chromium, and its pictures.

    python benchmarks/live_page.py [seconds=10] [state=QUERY] [core=0] [shots=DIR]

The server runs on one core, Chromium where it likes.  The page plays for some seconds as fast as
it can; iterations are those that it shows, frames those that it has received.  What other
programs take of the core shows in the first line; the second is about the seconds in which the
server had it.
With `shots`, it makes the pictures of docs/live.md instead.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from options import asked
from shots import CHROMIUM, saved

SOURCE = Path(__file__).parents[1] / "src"  # the checkout that this is part of
OPTIONS = {"seconds": "10", "state": "", "core": "0", "shots": ""}
COUNT = """() => {
  window.frames_seen = 0;
  const room = Bokeh.documents[0].all_roots.find((root) => root.properties.wish);
  room.properties.frame.change.connect(() => { window.frames_seen += 1; });
}"""
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
LINE = "data=two_gaussians_1d&latent_dim=1&iterations=300"
LINE += "&layers=real,generated,heat,optimal,warp,gradients,densities"
# file -> (state, stop of the tour, window, theme)
SHOTS = {
    "live": ("", "mode-collapse", DESKTOP, "light"),
    "live-dark": (
        "layers=real,generated,heat,optimal,gradients&iterations=150",
        "",
        DESKTOP,
        "dark",
    ),
    "live-line": (LINE, "", DESKTOP, "light"),
    "live-side-by-side": ("", "wgan", DESKTOP, "light"),
    "live-phone": ("", "mode-collapse", PHONE, "dark"),
}


def main() -> None:
    options = asked(OPTIONS, __doc__)
    with served(int(options["core"])) as (process, url), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        if options["shots"]:
            for name in SHOTS:
                shot(browser, url, name, Path(options["shots"]))
        else:
            page = opened(browser, f"{url}?{options['state']}", viewport=DESKTOP)
            measured(page, process.pid, float(options["seconds"]))


@contextmanager
def served(core: int) -> Iterator[tuple[subprocess.Popen, str]]:
    """Yields a server on one core, and its address."""
    words = [sys.executable, "-m", "ganlab.lab", "live", "show=false"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as process:
        os.sched_setaffinity(process.pid, {core})
        try:
            yield process, process.stdout.readline().split()[0]
        finally:
            process.terminate()


def opened(browser, url: str, **options) -> Page:
    """The page, when it shows its first frame."""
    page = browser.new_context(**options).new_page()
    page.goto(url)
    page.locator("#state").wait_for(state="hidden", timeout=60_000)
    return page


def measured(page: Page, server: int, seconds: float) -> None:
    """Prints iterations and frames a second."""
    page.click("#play")
    page.wait_for_timeout(2000)  # the first iterations allocate
    page.evaluate(COUNT)
    before, cpu, started = iterations(page), cpu_seconds(server), time.monotonic()
    page.wait_for_timeout(1000 * seconds)
    done, frames = iterations(page) - before, page.evaluate("window.frames_seen")
    took, cpu = time.monotonic() - started, cpu_seconds(server) - cpu
    for of, spent in (("", took), (" of the server's own", cpu)):
        print(f"{done / spent:.0f} iterations and {frames / spent:.1f} frames a second{of}")


def cpu_seconds(process: int) -> float:
    """That a process has had so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def iterations(page: Page) -> int:
    return int(page.inner_text("#iterations").split()[0])


def shot(browser, url: str, name: str, folder: Path) -> None:
    """Makes a picture of the page when it pauses by itself."""
    state, stop, window, theme = SHOTS[name]
    page = opened(browser, f"{url}?{state}", viewport=window, color_scheme=theme)
    if stop:
        page.click(f"[data-tour={stop}]")
        expect(page.locator("#stop")).to_be_visible(timeout=60_000)
    expect(page.locator("#iterations")).to_have_text(re.compile("[1-9].*"), timeout=60_000)
    expect(page.locator("#play")).to_have_text("Play", timeout=600_000)
    page.wait_for_timeout(500)  # Bokeh draws the last frame
    saved(page, folder / f"{name}.png")
    page.context.close()


if __name__ == "__main__":
    main()
