"""FID, IS, KID, precision and recall of the same images: ganlab beside the usual libraries.

    python benchmarks/scoring.py [n=1000] [repeats=3] [only=ganlab,...] [device=auto] [threads=...]
                                 [size=32] [weights=FILE]

Both sides are computed, n real and n generated images each, from uint8 tensors in memory to the
last number; nothing is cached, and each process has loaded its network before the clock starts,
except torch-fidelity's, which loads it in each call as it is used.  Every pass is a process of
its own, interleaved over the repeats: torch-fidelity's `calculate_metrics` by its defaults,
torchmetrics as its documentation shows it, ganlab in the parts in which it scores a run.  Without
weights, random ones of the same structure take the same time.  torchmetrics has no precision and
recall in this form.  A ratio is the seconds of a library over ganlab's; CPU seconds count where
other programs use the machine too.  The memory of four times as many images is that with as many
features kept for what compares pairs.  One thread on a CPU, all of them beside a GPU.

Then images/s of each stage of ganlab's, on a GPU in a process that has done all of it before:
real images, G, the extractor and the sums by themselves, then a whole scoring with all that
follows.
Last, the distance of n images of each kind at most 128 by the device and by the CPU in float64,
network and all.  only=ganlab needs no other library.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))  # the checkout that this is part of

from ganlab.data.images import Images
from ganlab.data.progress import unwatched
from ganlab.gan import GAN
from ganlab.latent import Gaussian
from ganlab.losses import Hinge
from ganlab.metrics import Moments, Tally, frechet_distance, kernel_distance, neighbourhood
from ganlab.metrics.features import Extractor, Features
from ganlab.metrics.inceptionv3 import Inception
from ganlab.metrics.resize import resize
from ganlab.networks import SNDCGANDiscriminator, SNDCGANGenerator
from ganlab.scoring import Scorer
from ganlab.scoring.extraction import extract, tallied
from ganlab.scoring.reference import Reference, measured
from ganlab.spec import ImageSpec
from ganlab.training.updates import UpdateRule
from options import asked

Scores = dict[str, float]
BATCH = 64  # what the other libraries' documentation says
STORED = 10_000  # features of each kind for what compares pairs, by default
AGREED = 128  # images of each kind whose features are computed in float64, half a second each
SHOWN = ("fid", "is", "kid", "precision", "recall")
OPTIONS = {
    "n": "1000",
    "repeats": "3",
    "only": "torch-fidelity,torchmetrics,ganlab",
    "device": "auto",
    "threads": "",
    "size": "32",
    "weights": "",
}


def images(n: int, size: int, seed: int) -> Tensor:
    """uint8 (n, 3, size, size): smooth random patterns, those of another seed less smooth."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 4 + 2 * seed, 4 + 2 * seed, generator=generator)
    return (torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear") * 255).byte()


def by_torch_fidelity(file: str, real: Tensor, fake: Tensor, device: str, kept: int):
    import torch_fidelity

    class Fixed(torch.utils.data.Dataset):
        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor

        def __len__(self) -> int:
            return len(self.tensor)

        def __getitem__(self, i: int) -> Tensor:
            return self.tensor[i]

    def scored() -> Scores:
        found = torch_fidelity.calculate_metrics(
            input1=Fixed(fake),
            input2=Fixed(real),
            feature_extractor="inception-v3-compat",
            feature_extractor_weights_path=file,
            kid_subset_size=min(1000, kept),
            cuda=device == "cuda",
            cache=False,
            save_cpu_ram=True,  # otherwise it starts processes that copy images
            verbose=False,
            **dict.fromkeys(("isc", "fid", "kid", "prc"), True),
        )
        names = ("frechet_inception_distance", "inception_score_mean")
        names += ("kernel_inception_distance_mean", "precision", "recall")
        return dict(zip(SHOWN, (float(found[name]) for name in names), strict=True))

    return scored


def by_torchmetrics(file: str, real: Tensor, fake: Tensor, device: str, kept: int):
    from torchmetrics.image import (
        FrechetInceptionDistance,
        InceptionScore,
        KernelInceptionDistance,
    )
    from torchmetrics.image.fid import NoTrainInceptionV3

    def network(layer: str) -> torch.nn.Module:
        return NoTrainInceptionV3("inception-v3-compat", [layer], file)

    fid = FrechetInceptionDistance(feature_extractor_weights_path=file).to(device)
    inception = InceptionScore(feature=network("logits_unbiased")).to(device)
    subset = min(1000, kept)
    kid = KernelInceptionDistance(feature=network("2048"), subset_size=subset).to(device)

    def scored() -> Scores:
        for part in real.split(BATCH):
            fid.update(part.to(device), real=True)
            kid.update(part.to(device), real=True)
        for part in fake.split(BATCH):
            fid.update(part.to(device), real=False)
            kid.update(part.to(device), real=False)
            inception.update(part.to(device))
        found = (fid.compute(), inception.compute()[0], kid.compute()[0])
        return dict(zip(SHOWN, map(float, found), strict=False))

    return scored


def by_ganlab(file: str, real: Tensor, fake: Tensor, device: str, kept: int):
    extractor = Inception(file).to(device)

    def scored() -> Scores:
        a, b = (passed(extractor, pixels, kept) for pixels in (real, fake))
        shares = neighbourhood(a.vectors, b.vectors, k=3)
        return {
            "fid": frechet_distance(a.moments, b.moments),
            "is": b.inception_score()[0],
            "kid": kernel_distance(a.vectors, b.vectors, size=min(1000, kept))[0],
            "precision": shares.precision,
            "recall": shares.recall,
        }

    return scored


def passed(extractor: Extractor, pixels: Tensor, kept: int = 0) -> Tally:
    """The product's own pass over real images, in their order."""
    return tallied(extractor, pixels, torch.arange(len(pixels)), kept, unwatched)


PASSES = {"torch-fidelity": by_torch_fidelity, "torchmetrics": by_torchmetrics, "ganlab": by_ganlab}

# ganlab by itself --------------------------------------------------------------------------------


@contextmanager
def weights_file(given: str) -> Iterator[str]:
    """The file that is given, or one of random weights that is there for a while."""
    if given:
        yield given
        return
    import inception_weights

    with tempfile.TemporaryDirectory() as folder:
        yield str(inception_weights.make(Path(folder) / "random.pth"))


def throughput(device: str, n: int, weights: str = "") -> dict[str, float]:
    """Images/s of each stage of a scoring of n generated images by Inception, and peak memory.

    On a GPU each stage has been run once before: libraries are loaded, kernels chosen.

    Args:
        device: cpu or cuda.
        n: real images of 32 x 32, and generated ones by SNDCGAN; 10 or more.
        weights: a file of Inception's weights; empty: random ones.

    Returns:
        images/s: `real`, from the machine's memory to their sums; `generation`, `extraction` and
        `sums` of generated images one after the other; `scoring`, all of it and every score of
        what was generated.  `scores`, the seconds of what follows the last image.  `memory`, MiB:
        what tensors took on the GPU, or the process on a CPU.
    """
    spec = ImageSpec(channels=3, size=32, classes=10)
    rule, network = UpdateRule(torch.optim.SGD), SNDCGANGenerator(spec, 128)
    players = network, SNDCGANDiscriminator(spec), Hinge()
    gan = GAN(*players, spec=spec, latent=Gaussian(128), g_rule=rule, d_rule=rule).to(device)
    with weights_file(weights) as file:
        extractor = Inception(file).to(device)
    real = Images(images(n, 32, 0), torch.arange(n) % 10)

    def run() -> dict[str, float]:
        seconds = {}

        def timed(name: str, work: Callable):
            start = time.perf_counter()
            result = work()
            if device != "cpu":
                torch.cuda.synchronize()
            seconds[name] = time.perf_counter() - start
            return result

        found = timed("real", lambda: measured(real, extractor, n, min(n, STORED), 10))
        scorer = Scorer(extractor, Reference.of("noise", "train", "", n, found), n)
        made = timed("generation", lambda: list(scorer.images(gan, slice(n), 0)))
        features = timed("extraction", lambda: list(extract(extractor, made, unwatched)))
        tally = Tally(extractor.dim, extractor.classes, n, device=device)
        timed("sums", lambda: [tally.update(part) for part in features])
        timed("scores", lambda: scorer.card(gan, tally))
        timed("scoring", lambda: scorer(gan))
        return seconds

    if device != "cpu":
        run()
        torch.cuda.reset_peak_memory_stats()
    seconds = run()
    rates = {name: n / taken for name, taken in seconds.items() if name != "scores"}
    return {**rates, "scores": seconds["scores"], "memory": memory(device)}


def memory(device: str) -> float:
    """The most that there was so far, MiB."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # Linux


class InFloat64(Extractor):
    """The same network and the same pictures, in float64 from the first convolution on."""

    def __init__(self, file: str) -> None:
        network = Inception(file).double()
        super().__init__("float64", network.weights, "", network.dim, network.classes)
        self.network = network

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Features:
        parts = [self.vectors(part) for part in pixels.split(4)]
        return Features(torch.cat(parts), self.network.head(torch.cat(parts)))

    def vectors(self, pixels: Tensor) -> Tensor:
        x = (resize(pixels, self.network.kind).double() - 128) / 128
        return self.network.trunk(self.network.stem(x))


def agreement(device: str, n: int = AGREED, weights: str = "", dims: int = 2048) -> dict:
    """The Frechet distance of the same images by the product's pass and all in float64 on a CPU.

    The second set is the first with every eighth image another one, so that the distance is as
    small as between a good generator and its data, and rounding shows.

    Args:
        device: cpu or cuda, of the product's pass.
        n: images in each set; 10 or more.
        weights: a file of Inception's weights; empty: random ones.
        dims: how many of the features are compared; 128 take no time.

    Returns:
        product, float64: both distances; difference: |product / float64 - 1|, to be under 1e-4.
    """
    real = images(n, 32, 0)
    fake = torch.where((torch.arange(n) % 8 == 0)[:, None, None, None], images(n, 32, 1), real)
    with weights_file(weights) as file:
        ways = {"product": Inception(file).to(device), "float64": InFloat64(file)}
    found = {name: distance(extractor, real, fake, dims) for name, extractor in ways.items()}
    return {**found, "difference": abs(found["product"] / found["float64"] - 1)}


def distance(extractor: Extractor, real: Tensor, fake: Tensor, dims: int = 2048) -> float:
    """The Frechet distance of uint8 images in the first so many features."""
    sides = [Moments(dims), Moments(dims)]
    for side, pixels in zip(sides, (real, fake), strict=True):
        whole = passed(extractor, pixels).moments
        side.n, side.sum = whole.n, whole.sum[:dims]
        side.products = whole.products[:dims, :dims]
    return frechet_distance(*sides)


# Side by side ------------------------------------------------------------------------------------


def measure(name: str, file: str, device: str, n: int, size: int, kept: int, threads: int) -> None:
    """One pass in this process; prints its seconds, peak memory and scores."""
    torch.set_num_threads(threads)
    real, fake = images(n, size, 0), images(n, size, 1)
    scored = PASSES[name](file, real, fake, device, kept)
    start, busy = time.perf_counter(), time.process_time()
    scores = scored()
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    found = {"seconds": seconds, "cpu": busy, "memory": memory(device), "scores": scores}
    print(json.dumps(found))


def in_a_process(*arguments: object) -> dict:
    """`measure` in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--pass", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(arguments[-1])}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(
    names: list[str], file: str, device: str, n: int, size: int, threads: int, repeats: int
) -> None:
    """Prints two Markdown tables: speed and scores, and ganlab's memory by n."""
    kept = min(n, STORED)
    runs: dict[str, list[dict]] = {name: [] for name in names}
    for _ in range(repeats):
        for name, made in runs.items():
            made.append(in_a_process(name, file, device, n, size, kept, threads))
    titles = ["", "seconds", "CPU seconds", "images/s", "ratio", "CPU ratio", *SHOWN]
    print("| " + " | ".join(titles) + " |\n|" + "---|" * len(titles))
    for name, made in runs.items():
        wall, cpu = (statistics.median(run[clock] for run in made) for clock in ("seconds", "cpu"))
        ratios = [
            statistics.median(
                a[clock] / b[clock] for a, b in zip(made, runs["ganlab"], strict=True)
            )
            for clock in ("seconds", "cpu")
        ]
        speed = [f"{wall:.1f}", f"{cpu:.1f}", f"{2 * n / wall:.2f}", *(f"{r:.2f}" for r in ratios)]
        scores = [f"{made[0]['scores'][k]:.5f}" if k in made[0]["scores"] else "" for k in SHOWN]
        print("| " + " | ".join([name, *speed, *scores]) + " |", flush=True)
    print("\n| ganlab, images of each kind | peak memory, MiB | of it images |\n|---|---|---|")
    many = in_a_process("ganlab", file, device, 4 * n, size, kept, threads)
    for count, run in ((n, runs["ganlab"][0]), (4 * n, many)):
        print(f"| {count} | {run['memory']:.0f} | {2 * count * 3 * size**2 / 2**20:.0f} |")


def by_stage(device: str, n: int, file: str) -> None:
    """Prints ganlab's stages as a Markdown table, and how it agrees with float64."""
    found = throughput(device, n, file)
    print("\n| stage | images/s |\n|---|---|")
    for name in ("real", "generation", "extraction", "sums", "scoring"):
        print(f"| {name} | {found[name]:.2f} |")
    print("\n| after the last image, s | memory, MiB |\n|---|---|")
    print(f"| {found['scores']:.2f} | {found['memory']:.0f} |")
    found = agreement(device, min(n, AGREED), file)
    print("\n| " + " | ".join(found) + " |\n|" + "---|" * len(found))
    print("| " + " | ".join(f"{value:.3g}" for value in found.values()) + " |")


def main() -> None:
    if sys.argv[1:2] == ["--pass"]:
        name, file, device, *numbers = sys.argv[2:]
        measure(name, file, device, *map(int, numbers))
        return
    options = asked(OPTIONS, __doc__)
    names, device = options["only"].split(","), options["device"]
    if not {"ganlab"} <= set(names) <= PASSES.keys():
        raise SystemExit(f"only: ganlab, and of {', '.join(PASSES)} which you like")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    n, size, repeats = (int(options[name]) for name in ("n", "size", "repeats"))
    threads = int(options["threads"] or (1 if device == "cpu" else os.cpu_count() or 1))
    torch.set_num_threads(threads)
    with weights_file(options["weights"]) as file:
        compare(names, file, device, n, size, threads, repeats)
        by_stage(device, n, file)


if __name__ == "__main__":
    main()
