"""FID, IS, KID, precision and recall of the same images: ganlab beside the usual libraries.

    python benchmarks/scoring.py [n=1000] [repeats=3] [threads=1] [size=32] [weights=FILE]

Both sides are computed, n real and n generated images each, from uint8 tensors in memory to the
last number; nothing is cached, and each process has loaded its network before the clock starts,
except torch-fidelity's, which loads it in each call as it is used.  Every pass is a process of
its own, interleaved over the repeats: torch-fidelity's `calculate_metrics` by its defaults,
torchmetrics as its documentation shows it, ganlab.  Without weights, random ones of the same
structure take the same time.  torchmetrics has no precision and recall in this form.  A ratio is
the seconds of a library over ganlab's; CPU seconds count where other programs use the machine too.
The memory of four times as many images is that with as many features kept for what compares pairs.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]  # the checkout that this file is part of

Scores = dict[str, float]
BATCH = 64
STORED = 10_000  # features of each kind for what compares pairs, by default
SHOWN = ("fid", "is", "kid", "precision", "recall")


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
    from ganlab.metrics import Tally, frechet_distance, kernel_distance, neighbourhood
    from ganlab.metrics.inceptionv3 import Inception

    extractor = Inception(file).to(device)

    def passed(pixels: Tensor) -> Tally:
        tally = Tally(extractor.dim, extractor.classes, len(pixels), kept=kept, device=device)
        for part in pixels.split(BATCH):
            tally.update(extractor(part.to(device)))
        return tally

    def scored() -> Scores:
        a, b = passed(real), passed(fake)
        shares = neighbourhood(a.vectors, b.vectors, k=3)
        return {
            "fid": frechet_distance(a.moments, b.moments),
            "is": b.inception_score()[0],
            "kid": kernel_distance(a.vectors, b.vectors, size=min(1000, kept))[0],
            "precision": shares.precision,
            "recall": shares.recall,
        }

    return scored


PASSES = {"torch-fidelity": by_torch_fidelity, "torchmetrics": by_torchmetrics, "ganlab": by_ganlab}


def measured(name: str, file: str, n: int, size: int, kept: int, threads: int) -> None:
    """One pass in this process; prints its seconds, peak memory and scores."""
    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    real, fake = images(n, size, 0), images(n, size, 1)
    scored = PASSES[name](file, real, fake, device, kept)
    start, busy = time.perf_counter(), time.process_time()
    scores = scored()
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # MiB; Linux
    memory = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else memory
    print(json.dumps({"seconds": seconds, "cpu": busy, "memory": memory, "scores": scores}))


def in_a_process(name: str, *arguments: object) -> dict:
    """`measured` in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--pass", name, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(arguments[-1])}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(n: int, repeats: int, threads: int, size: int, file: str) -> None:
    """Prints two Markdown tables: speed and scores, and ganlab's memory by n."""
    kept = min(n, STORED)
    runs: dict[str, list[dict]] = {name: [] for name in PASSES}
    for _ in range(repeats):
        for name, made in runs.items():
            made.append(in_a_process(name, file, n, size, kept, threads))
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
    many = in_a_process("ganlab", file, 4 * n, size, kept, threads)
    for count, run in ((n, runs["ganlab"][0]), (4 * n, many)):
        print(f"| {count} | {run['memory']:.0f} | {2 * count * 3 * size**2 / 2**20:.0f} |")


def main() -> None:
    if sys.argv[1:2] == ["--pass"]:
        name, file, *numbers = sys.argv[2:]
        measured(name, file, *map(int, numbers))
        return
    options = {"n": "1000", "repeats": "3", "threads": "1", "size": "32", "weights": ""}
    given = {name: value for name, _, value in (word.partition("=") for word in sys.argv[1:])}
    if given.keys() - options.keys():
        raise SystemExit(__doc__)
    options |= given
    numbers = [int(options[name]) for name in ("n", "repeats", "threads", "size")]
    with tempfile.TemporaryDirectory() as folder:
        if not options["weights"]:
            import inception_weights

            options["weights"] = str(inception_weights.make(Path(folder) / "random.pth"))
        compare(*numbers, options["weights"])


if __name__ == "__main__":
    main()
