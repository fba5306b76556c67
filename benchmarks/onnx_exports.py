"""Sizes of exported generators, and how far ONNX Runtime is from PyTorch: a row for each model.

    python benchmarks/onnx_exports.py [models=dcgan,stylegan2] [conditioning=none]

The networks have the sizes of conf/model for the images of MNIST or CIFAR-10, the weights of the
seed.  Nothing is trained, and no data is read.
"""

import time

from ganlab.commands.composition import Composer, without_hydra
from ganlab.commands.preflight import checked
from ganlab.experiments.experiment import Experiment
from ganlab.exporting.interface import parameters
from ganlab.exporting.onnx import difference, onnx_of
from ganlab.gan import GAN
from ganlab.spec import ImageSpec, PointSpec
from options import asked

GREY, COLOUR, PLANE = ImageSpec(1, 28, 10), ImageSpec(3, 32, 10), PointSpec(2, 8)
DATA = {GREY: "mnist", COLOUR: "cifar10", PLANE: "ring_2d"}
MODELS = {
    **dict.fromkeys(("vanilla", "salimans", "tutorial", "infogan", "autoencoder"), GREY),
    **dict.fromkeys(("dcgan", "sndcgan", "resnet", "sagan", "biggan", "r3gan"), COLOUR),
    "stylegan2": COLOUR,
    "toy": PLANE,
}
OPTIONS = {"models": ",".join(MODELS), "conditioning": "none"}
HEADS = ["model", "samples", "parameters", "weights", "ONNX", "largest difference", "seconds"]


def built(model: str, conditioning: str) -> GAN:
    """A GAN of that model, untrained."""
    spec = MODELS[model]
    words = [f"model={model}", f"data={DATA[spec]}", f"conditioning={conditioning}"]
    words += ["loss=ebgan"] if model == "autoencoder" else []
    cfg, mistakes = Composer().compose(words)
    if mistakes:
        raise SystemExit("\n".join(mistakes))
    gan = Experiment(**checked(without_hydra(cfg))).build(spec).eval()
    gan.refresh()  # the statistics of the average
    return gan


def row(model: str, conditioning: str) -> list[str]:
    """The cells of a model."""
    gan = built(model, conditioning)
    began = time.process_time()
    content = onnx_of(gan)
    seconds = time.process_time() - began
    stored = sum(t.nbytes for t in gan.sampler.state_dict().values())
    return [
        model,
        str(gan.spec),
        f"{parameters(gan):,}",
        f"{stored / 1e6:.1f} MB",
        f"{len(content) / 1e6:.1f} MB",
        f"{difference(gan, content):.1e}",
        f"{seconds:.0f}",
    ]


def main() -> None:
    chosen = asked(OPTIONS, __doc__)
    for cells in (HEADS, ["---"] * 2 + ["---:"] * (len(HEADS) - 2)):
        print(f"| {' | '.join(cells)} |")
    for model in chosen["models"].split(","):
        print(f"| {' | '.join(row(model, chosen['conditioning']))} |", flush=True)


if __name__ == "__main__":
    main()
