"""What of an RBM's samples depends on `model.generator.rise`, the share of annealed sweeps.

    python benchmarks/rise.py runs=DIR[,DIR] [rises=0.5,0.2,0.1,0.05,0] [chains=200] [sweeps=200]

Prints a table in Markdown, a row for each share and one for the chains of training, which go on for
eight times 25 sweeps.  Ink is the sum of an image's pixels in [0, 1]; the distance of the hidden
units' means from those of the chains of training is the root mean square over units.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))  # the checkout that this is part of

import torch
from torch import Tensor

import ganlab
from ganlab.boltzmann.machine import BoltzmannMachine
from ganlab.models import RBM
from ganlab.training.chance import drawn
from options import asked

OPTIONS = {"runs": "", "rises": "0.5,0.2,0.1,0.05,0", "chains": "200", "sweeps": "200"}
STATES, APART = 8, 25  # of the chains of training, and sweeps between two


def main() -> None:
    """Prints the table."""
    given = asked(OPTIONS, __doc__)
    models = [model_of(name) for name in given["runs"].split(",")]
    heads = [f"{m.machine.kind}: {what}" for m in models for what in ("ink", "distance")]
    print(f"| `model.generator.rise` | {' | '.join(heads)} |\n|{'---|' * (1 + len(heads))}")
    trained = [continued(model) for model in models]
    for rise in given["rises"].split(","):
        cells = []
        for model, v in zip(models, trained, strict=True):
            machine = model.machine
            machine.rise, machine.sweeps = float(rise), int(given["sweeps"])
            samples, _ = machine.annealed(drawn(int(given["chains"]), generator()))
            cells += [f"{ink(machine, samples):.1f}", f"{distance(machine, samples, v):.3f}"]
        print(f"| {' | '.join([rise, *cells])} |", flush=True)
    inks = [f"{ink(m.machine, v):.1f} |  |" for m, v in zip(models, trained, strict=True)]
    print(f"| chains of training | {' '.join(inks)}")


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def model_of(name: str) -> RBM:
    """The model of a run that kept the chains of its training."""
    model = ganlab.load(name)
    if not isinstance(model, RBM) or not model.persistent:
        raise SystemExit(f"{name} is no RBM with persistent chains")
    return model


@torch.no_grad()
def continued(model: RBM) -> Tensor:
    """States v (8 times the chains, visible) of the chains of training."""
    chance, v, found = drawn(len(model.chains), generator()), model.chains, []
    for _ in range(STATES):
        for _ in range(APART):
            v, _ = model.machine.sweep(v, chance)
        found.append(v)
    return torch.cat(found)


@torch.no_grad()
def ink(machine: BoltzmannMachine, v: Tensor) -> float:
    """The mean over images of the sum of pixels, given the hidden units' means."""
    h = torch.sigmoid(machine.hidden_field(v))
    shown = machine.visible.decode(machine.visible.mean(machine.visible_field(h)))
    return ((shown.clamp(-1, 1) + 1) / 2).sum(dim=1).mean().item()


@torch.no_grad()
def distance(machine: BoltzmannMachine, v: Tensor, of_training: Tensor) -> float:
    """The root mean square over hidden units of the difference of their means."""
    one, other = (torch.sigmoid(machine.hidden_field(x)).mean(dim=0) for x in (v, of_training))
    return (one - other).square().mean().sqrt().item()


if __name__ == "__main__":
    main()
