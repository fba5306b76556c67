"""Health of a live training: ganlab's own readings and verdicts, over shorter windows."""

from typing import Any

import torch

from ganlab.callbacks.readings import HealthReadings
from ganlab.health.verdicts import Detector, Verdict, Watch, diagnosis
from ganlab.lab.live.stage import Stage

# A live run is looked at for a minute, not for thousands of iterations: a verdict takes the mean
# of ten readings over 300 iterations in place of 500, from iteration 300 on in place of 1,000.
WATCH = Watch(every=30, patience=300, warmup=300, memorisation_every=2**40)


class Doctor:
    """Takes readings, and turns them into verdicts.

    Args:
        stage: what is watched.
    """

    def __init__(self, stage: Stage) -> None:
        self.readings = HealthReadings(WATCH, stage.data)
        self.readings.on_train_start(stage.trainer, stage.gan)
        self.detector = Detector(WATCH)
        self.verdicts: list[Verdict] = []

    def look(self, stage: Stage) -> None:
        """Takes a reading if one is due after this iteration."""
        if stage.gan.iterations % WATCH.every:
            return
        self.readings.on_train_batch_end(stage.trainer, stage.gan)
        latest = self.readings.latest
        found = dict(zip(latest, torch.stack(list(latest.values())).tolist(), strict=True))
        self.verdicts += self.detector.read({**found, "iterations": stage.gan.iterations})

    @property
    def ailing(self) -> list[str]:
        """The ailments that hold over the window of the latest readings."""
        window = self.detector.window
        if not window:
            return []
        warm = window[-1]["iterations"] - WATCH.patience >= WATCH.warmup
        return [ailment.name for ailment in diagnosis(window, warm=warm)]

    def state(self) -> dict[str, Any]:
        """Plain data, for a snapshot."""
        detector = self.detector.state()
        return {
            "detector": {name: list(values) for name, values in detector.items()},
            "readings": self.readings.state_dict(),
            "verdicts": list(self.verdicts),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores what `state` returned."""
        self.detector.load_state(state["detector"])
        self.readings.load_state_dict(state["readings"])
        self.verdicts = list(state["verdicts"])
