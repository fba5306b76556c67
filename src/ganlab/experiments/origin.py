"""A run that starts from another run's checkpoint, or from some of its networks."""

import functools
from pathlib import Path
from typing import Any

import torch

from ganlab.config.words import nearest
from ganlab.errors import ConfigError, DamagedError
from ganlab.experiments.saved import Saved, require_own_data, require_shapes
from ganlab.generative import Generative
from ganlab.runs.origin import file_of
from ganlab.storage import checkpoint


class Origin:
    """Where a run starts.

    Args:
        run: the other run's folder.
        networks: the networks whose weights are taken over, with the average of the generator's;
            optimizers and counts begin anew.  None: everything is taken over, and counts and
            schedules go on, so that with constant rates the run is the one that was never ended.
        checkpoint: the name of the file.
    """

    def __init__(self, run: str, networks: list[str] | None = None, checkpoint: str = "") -> None:
        self.networks = networks
        self.file = file_of({"run": run, "checkpoint": checkpoint})

    def check(self, model: Generative, iterations: int) -> None:
        """Checks the checkpoint against the model that would start from it.

        Args:
            model: on any device.
            iterations: the length of the run.

        Raises:
            ConfigError: the checkpoint is missing, damaged, or does not fit.
        """
        saved = read(self.file, self.file.stat().st_mtime_ns if self.file.exists() else 0)
        if self.networks is None and saved.iterations >= iterations:
            done = f"'{self.file}' has done {saved.iterations:,} of them"
            raise ConfigError([f"start: {done}; set iterations to more"])
        names = [name for name, _ in model.named_children()]
        for network in self.networks or []:
            if network not in names or not chosen(saved.state_dict, [network]):
                close = nearest(network, names)
                raise ConfigError([f"start.networks: there is no '{network}'{close}"])
        planned = model.state_dict()
        try:
            require_shapes(self._part(planned), self._part(saved.state_dict))
        except ValueError as error:
            what = f"'{self.file}' and this config do not fit: {error}"
            advice = "; set start.networks=[...]" if self.networks is None else ""
            raise ConfigError([f"start: {what}{advice}"]) from error

    def load(self, model: Generative) -> None:
        """Puts the weights of `networks` into a model."""
        state = self._part(checkpoint.read(self.file)["state_dict"])
        model.load_state_dict(model.state_dict() | state)

    def sentence(self) -> str:
        """What is taken over."""
        if self.networks is None:
            return f"goes on from {self.file}: weights, averages, optimizers, counts and schedules"
        names = " and ".join(self.networks)
        return f"starts with {names} of {self.file}; optimizers, counts and schedules begin anew"

    def _part(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The entries of a state_dict that are taken over."""
        return chosen(state, self.networks) if self.networks is not None else state


def chosen(state: dict[str, Any], networks: list[str]) -> dict[str, Any]:
    """The entries of some networks; a network's average belongs to it."""
    averages = {"generator": "ema", "discriminator": "d_averages"}
    averaged = [averages[network] for network in networks if network in averages]
    return {key: v for key, v in state.items() if key.split(".")[0] in (*networks, *averaged)}


@functools.lru_cache
def read(file: Path, _changed: int) -> Saved:
    """The content of a checkpoint, with tensors on the meta device.

    Raises:
        ConfigError: it is missing or damaged.
    """
    try:
        saved = Saved.model_validate(checkpoint.read(file))
        require_own_data(saved.state_dict)
    except FileNotFoundError as error:
        raise ConfigError([f"start: there is no checkpoint '{file}'"]) from error
    except DamagedError as error:
        raise ConfigError([f"start: {error}"]) from error
    except ValueError as error:
        raise ConfigError([f"start: '{file}' is no checkpoint of ganlab"]) from error
    # Only shapes are kept, for the other jobs of a sweep.
    shapes = {name: tensor.to("meta") for name, tensor in saved.state_dict.items()}
    return saved.model_copy(update={"state_dict": shapes})
