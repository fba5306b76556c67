"""What an exported folder is loaded as: a generator that draws, and nothing that trains."""

from typing import Any

import torch

from ganlab.errors import ConfigError, DamagedError
from ganlab.experiments.experiment import Experiment
from ganlab.experiments.restore import fitting, require_known, require_sound, restore
from ganlab.experiments.saved import require_shapes
from ganlab.exporting import weights
from ganlab.generative import Generative
from ganlab.runs.folder import EXPORTED, LAST, Run
from ganlab.sampler import Sampler
from ganlab.spec import spec_of

DRAWN = ("model", "conditioning", "latent")  # root keys that make what draws


class Exported(Sampler):
    """A generator that was given away.  It draws all that its GAN draws, bit for bit.

    There is no discriminator, no optimizer and no checkpoint, so it can neither be trained nor
    judge images.

    Args:
        parts: generator, spec, latent and conditioning, by name.
        seed: of the run.
        about: what the file of the weights says.
    """

    ema = None  # the weights are the averaged ones, if there were any

    def __init__(self, parts: dict[str, Any], seed: int, about: weights.About) -> None:
        super().__init__()
        self.generator, self.conditioning = parts["generator"], parts["conditioning"]
        self.spec, self.latent, self.seed = parts["spec"], parts["latent"], seed
        self.about = about
        self.requires_grad_(requires_grad=False).eval()
        self.to(memory_format=torch.channels_last)  # as in training: sums have the same order

    @property
    def iterations(self) -> int:  # type: ignore[override]  # nothing trains it
        return self.about.iterations

    @property
    def class_names(self) -> list[str]:  # type: ignore[override]
        return self.about.class_names

    @property
    def ema_decay(self) -> float | None:
        return self.about.ema_decay

    @property
    def batchnorm(self) -> str:
        return self.about.batchnorm

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError as error:
            said = "it was exported: of its GAN there is the generator alone, to draw samples"
            raise AttributeError(f"this generator has no '{name}'; {said}") from error


def loaded(run: Run, which: str = LAST, *, trust: bool = False) -> Generative | Exported:
    """The GAN of a run's checkpoint, or the generator of an exported folder, on the CPU.

    Args:
        run: the folder.
        which: of a run's checkpoints, as in `restore`; an exported folder has no choice.
        trust: as in `restore`.  Of an exported folder, what draws samples is built alone.

    Raises:
        ConfigError: the folder is neither, is damaged, or names what is not trusted.
    """
    return exported(run, which, trust=trust) if run.exported else restore(run, which, trust=trust)


def exported(run: Run, which: str, *, trust: bool) -> Exported:
    """The generator of an exported folder."""
    if which not in (LAST, EXPORTED):
        raise ConfigError([f"checkpoint: '{run.path}' is an export and has no '{which}'"])
    config = run.config()
    if not trust:
        require_known(config, DRAWN)
    require_sound(run, config, DRAWN)
    try:
        tensors, about = weights.read(run.path / EXPORTED)
    except DamagedError as error:
        raise ConfigError([str(error)]) from error
    with fitting(run, EXPORTED, trust=trust):
        experiment, spec = Experiment(**config), spec_of(about.spec)
        with torch.device("meta"):  # before memory is taken for sizes that anybody may have written
            planned = experiment.drawing(spec)["generator"].state_dict()
        require_shapes(planned, tensors)
        with torch.random.fork_rng():
            parts = experiment.drawing(spec)
        parts["generator"].load_state_dict(tensors)
        return Exported(parts, experiment.seed, about)
