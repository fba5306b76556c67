"""Pages of `ganlab explore`: size, time to start, time an image, in both engines and browsers.

    python benchmarks/explore.py [models=dcgan,resnet] [images=20]

The networks have the sizes of conf/model for the images of MNIST or CIFAR-10, the weights of the
seed.  Needs Chromium, Firefox, and a network at the first use of ONNX Runtime Web.
"""

import statistics
import sys
import tempfile
from pathlib import Path

from ganlab.commands import exploration
from ganlab.commands.exploration import Asked
from ganlab.errors import ConfigError
from ganlab.exploring.networks import networks_of
from onnx_exports import built
from options import asked

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browsers import CHROMIUM, FLAGS, Firefox
from event_loops import Loop

OPTIONS = {"models": "vanilla,dcgan,resnet,biggan,stylegan2", "images": "20"}
HEADS = ["model", "multiplications", "engine", "file", "Chromium", "Firefox"]
MEASURED = """(async () => {
  const wait = (test) => new Promise((resolve) => {
    const look = () => test() ? resolve() : setTimeout(look, 5);
    look();
  });
  const image = document.getElementById("image"), times = [];
  await wait(() => image.dataset.shown);
  for (let i = 0; i < IMAGES; i++) {
    const before = image.dataset.shown;
    document.getElementById("random").click();
    await wait(() => image.dataset.shown !== before && image.getAttribute("aria-busy") === "false");
    times.push(parseFloat(document.getElementById("status").textContent));
  }
  return [Number(document.getElementById("main").dataset.ready), ...times].join(" ");
})()"""


def in_chromium(file: Path, script: str) -> str:
    """What a script answers in a page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.goto(file.as_uri())
        answer = page.evaluate(script)
        browser.close()
    return answer


def in_firefox(file: Path, script: str) -> str:
    """What a script answers in a page."""
    with Loop() as loop:
        browser = Firefox(loop)
        browser.open(file)
        answer = browser.value(script)
        browser.close()
    return answer


def cell(answer: str) -> str:
    """Time of an image, the median, and time to start."""
    start, *times = map(float, answer.split())
    return f"{statistics.median(times):.1f} ms, starts in {start / 1000:.1f} s"


def main() -> None:
    """Prints the table."""
    given = asked(OPTIONS, __doc__)
    script = MEASURED.replace("IMAGES", given["images"])
    print(f"| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}")
    with tempfile.TemporaryDirectory() as folder:
        for model in given["models"].split(","):
            gan = built(model, "none")
            many = f"{networks_of(gan).multiplications / 1e6:.1f} million"
            for engine in ("plain", "onnxruntime"):
                file = Path(folder) / f"{model}-{engine}.html"
                try:
                    exploration.write(gan, file.parent, file, Asked(engine))
                except ConfigError:
                    continue
                size = f"{file.stat().st_size / 1e6:.1f} MB"
                times = (cell(look(file, script)) for look in (in_chromium, in_firefox))
                print(f"| {' | '.join([model, many, engine, size, *times])} |", flush=True)


if __name__ == "__main__":
    main()
