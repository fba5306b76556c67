"""One training session of a run: from its start or last checkpoint to its end or interruption."""

import contextlib
import logging
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only
from torch import nn

from ganlab import compatibility
from ganlab.callbacks import (
    Capturing,
    Checkpoints,
    Classification,
    Curves,
    Health,
    HealthReadings,
    Interruption,
    Journal,
    Likelihoods,
    Minutes,
    ModeCoverage,
    Profile,
    Progress,
    SampleGrids,
    Scores,
)
from ganlab.data.distributions import Mixture
from ganlab.data.images import Images
from ganlab.data.points import density_of, distribution_of
from ganlab.errors import ConfigError, NonFiniteError, UnhealthyError
from ganlab.experiments.experiment import Experiment
from ganlab.gan import GAN
from ganlab.loggers import MetricsFile, WandbRun
from ganlab.plots.cloud import POINTS_DRAWN, Cloud
from ganlab.runs.folder import Run, unused
from ganlab.spec import PointSpec
from ganlab.storage import checkpoint
from ganlab.storage.background import Background
from ganlab.training.stopwatch import Stopwatch


class TrainingSession:
    """Everything that a run needs while it trains.  The constructor reads the data.

    Args:
        experiment: what to train.
        run: where.
        title: the run's name in dashboards.
        group: the sweep that the run belongs to, if any.
        callbacks: further callbacks; they act after an iteration is read and before its checkpoint.
        began: when the session began, by `stopwatch.now`, for a run that the clock ends; None: when
            training begins.

    Raises:
        ConfigError: the trainer or a logger cannot be made here.
        DataError: the data is missing or unsuitable.
    """

    def __init__(
        self,
        experiment: Experiment,
        run: Run,
        title: str,
        group: str | None,
        callbacks: Sequence[Callback] = (),
        began: float | None = None,
    ) -> None:
        quiet_lightning()
        self.stopwatch = Stopwatch(began if experiment.minutes is not None else None)
        self.run, self.gan = run, experiment.build()
        self.origin = experiment.origin
        self.data = experiment.image_data(self.gan)
        self.data.prepare_data()
        self.data.setup()
        self.gan.class_names = self.data.class_names
        self.background = background = Background()
        self.journal = Journal(experiment.log_every, background, self.stopwatch)
        self.checkpoints = Checkpoints(
            run.checkpoints, experiment.checkpoint_every, background=background
        )
        self.interruption = Interruption(self.checkpoints)
        names = isinstance(self.gan, GAN) and self.gan.conditioning.names_classes
        self.classification = Classification(
            self.data, experiment.sample_every, names_classes=names
        )
        self.samples, self.coverage = self._pictures(experiment), self._coverage(experiment)
        self.curves = Curves(run.path)
        self.capturing = Capturing(experiment.compile)
        plan = experiment.plan()
        self.scores = Scores(plan, self.journal, self.checkpoints) if plan is not None else None
        watch, kept = experiment.watch(), run.path / "health"
        self.health: Health | None = None
        if watch is not None:
            readings = HealthReadings(watch, self.data)
            self.health = Health(watch, readings, self.checkpoints, kept, self.samples.paint)
        self.loggers: list[Logger] = [
            MetricsFile(run.path / "metrics.csv"),
            *experiment.loggers(run=run, title=title, sweep=group),
        ]
        chosen = experiment.callbacks()
        self.likelihoods = [one for one in chosen if isinstance(one, Likelihoods)]
        acting = self._callbacks(experiment, chosen, callbacks)
        self.trainer = experiment.trainer_with(self.loggers, acting)
        # Lightning does so after it has read a checkpoint, which rounds it to float32 on the way.
        self.trainer.precision_plugin.convert_module(self.gan)
        self._require_devices(experiment.batch_size)
        if self.trainer.strategy.root_device.type == "cuda":
            torch.set_float32_matmul_precision("high")  # TF32, as in cuDNN's convolutions anyway
        if self.scores is not None:
            with self.stopwatch.paused():
                self.scores.prepare(self.data, self.trainer.strategy.root_device)

    def _require_devices(self, m: int) -> None:
        """Raises ConfigError if the available devices cannot run this experiment."""
        self.capturing.require(self.trainer, self.gan)
        if m % (devices := self.trainer.world_size):
            raise ConfigError([f"batch_size must be a multiple of the {devices} devices, got {m}"])
        going_back = self.health is not None and self.health.watch.action == "rollback"
        if devices > 1 and going_back:
            raise ConfigError(
                ["health.action: rollback works on one device; set health.action=stop"]
            )

    def _pictures(self, experiment: Experiment) -> SampleGrids:
        """Draws grids of images, or clouds of points, whose many samples take no time of a run."""
        folder, every = self.run.samples, experiment.sample_every
        if self.data.images is None or not isinstance(self.data.spec, PointSpec):
            return SampleGrids(folder, every, background=self.background)
        cloud = Cloud(self.data.images.images, density_of(experiment.source))
        paused = self.journal.paused
        return SampleGrids(folder, every, POINTS_DRAWN, cloud, self.background, paused)

    def _coverage(self, experiment: Experiment) -> list[Callback]:
        """Counts modes if the data is a known mixture."""
        known = distribution_of(experiment.source)
        if isinstance(known, Mixture) and len(known) > 1:
            return [ModeCoverage(known, experiment.log_every, self.journal.paused)]
        return []

    def _callbacks(
        self, experiment: Experiment, chosen: Sequence[Callback], others: Sequence[Callback]
    ) -> list[Callback]:
        """In the order in which they act after an iteration."""
        minutes = experiment.minutes
        clock = [Minutes(minutes, self.stopwatch)] if minutes is not None else []
        return [
            *clock,
            self.capturing,
            # Profile comes first, so that it sees the others.
            *([Profile(self.run.path)] if experiment.profile else []),
            self.classification,  # the journal reads what it finds
            *self.coverage,  # likewise
            *chosen,  # likewise
            *([self.health.readings] if self.health is not None else []),  # likewise
            self.journal,  # before those below: it stops a run with non-finite numbers
            *([self.health] if self.health is not None else []),
            self.samples,
            *others,
            *([self.scores] if self.scores is not None else []),
            self.checkpoints,
            self.interruption,
            Progress(self.journal, 60 * minutes if minutes is not None else None),
            self.curves,  # last: weights and signals are in order before it draws
        ]

    def work(self) -> bool:
        """Trains until the end, a signal or a verdict ends it, and records which in summary.json.

        Returns:
            Whether the run has ended; if not, it has gone back to a healthy checkpoint, from where
            another TrainingSession goes on.

        Raises:
            NonFiniteError: training cannot go on; the last checkpoint is good.
            UnhealthyError: a verdict ended the run.
            DiskFullError: the disk is full; the last checkpoint is good.
        """
        try:
            with self.run.full_disk_explained():
                self._train_or_diverge()
                if self._goes_back():
                    return False
                self._end()
        except UnhealthyError:
            raise
        except BaseException as error:
            with contextlib.suppress(OSError):  # the disk may still be full
                self._conclude("failed", str(error) or type(error).__name__)
            raise
        return True

    def _goes_back(self) -> bool:
        """Whether the run has gone back to a healthy checkpoint, and forgotten what came after."""
        stopped = self.interruption.received is not None  # then it rolls back at the next start
        if self.health is None or stopped or (to := self.health.goes_back(self.gan)) is None:
            return False
        self.run.forget_scores(after=to if self.checkpoints.best_is_by(to) else 0)
        self.health.go_back(self.gan, self.journal)
        self._finish_logging("interrupted")
        return True

    def _train_or_diverge(self) -> None:
        """Trains; a non-finite number counts as a verdict, which may roll the run back."""
        try:
            self._train()
        except NonFiniteError as error:
            if self.health is None or not self.health.diverged(self.gan, error):
                raise

    def _end(self) -> None:
        """Records the end, and raises UnhealthyError if a verdict ended the run.

        If a signal arrived as well, the run counts as interrupted; the next start reads the verdict
        from the checkpoint and ends the run then.
        """
        stopped = self.interruption.received is not None
        if self._done or not stopped:  # a cluster that wants its machine back does not wait
            self.samples.animate()
        if self.health is not None and self.health.ended is not None and not stopped:
            ended = self.health.ended
            error = UnhealthyError(f"{ended.ailment}: {ended.evidence}")
            self._conclude("stopped", str(error))
            raise error
        self._conclude("finished" if self._done else "interrupted")

    def _train(self) -> None:
        self._begin()
        start = self._start()
        try:
            self.trainer.fit(self.gan, self.data, ckpt_path=start, weights_only=True)
        except MisconfigurationException as error:
            raise ConfigError([f"trainer: {error}"]) from error
        if start is not None and start.name == checkpoint.name(self.gan.total_iterations):
            # Lightning found nothing left to train.
            if self.scores is not None:
                self.scores.score_again(self.trainer, self.gan)
            self.curves.on_train_end(self.trainer, self.gan)

    @rank_zero_only
    def _begin(self) -> None:
        self.run.begin()

    def _start(self) -> Path | None:
        """The checkpoint to go on from; newer ones that are damaged are reported and renamed.

        Before the run's own first one it is another run's, if the config says so.

        Every process finds the same files, because none has written a new one yet.
        """
        start, damaged = self.run.sound_checkpoint()
        if damaged:
            self._set_aside(damaged, start)
        if start is None and self.origin is not None:
            if self.origin.networks is None:
                return self.origin.file
            self.origin.load(self.gan)
        return start

    @rank_zero_only
    def _set_aside(self, damaged: list[Path], start: Path | None) -> None:
        names = ", ".join(path.name for path in damaged)
        then = f"goes on from {start.name}" if start else "starts again from the beginning"
        print(f"damaged and set aside: {names}; the run {then}", flush=True)
        for path in damaged:
            path.replace(unused(path.with_name(f"{path.name}.damaged")))

    @property
    def _done(self) -> bool:
        """Whether there is nothing left to train."""
        exhausted = self.scores is not None and self.scores.exhausted
        return exhausted or self.gan.iterations == self.gan.total_iterations

    def introduction(self) -> str:
        """What is about to run, in a few lines."""
        images = cast("Images", self.data.images)  # read by the constructor
        spec, n = self.data.spec, len(images.labels)
        kind, parts = ("points", "modes") if isinstance(spec, PointSpec) else ("images", "classes")
        classes = f" in {spec.classes} {parts}" if spec.classes else ""
        sizes = ", ".join(
            f"{name.upper()} {parameters(*player.networks)}"
            for name, player in self.gan.players.items()
        )
        if len(self.gan.players) == 1:  # it is all networks together, not G alone
            sizes = sizes.partition(" ")[2]
        where, devices = self.trainer.strategy.root_device.type, self.trainer.world_size
        on = f"on {devices} x {where}" if devices > 1 else f"on {where}"
        lines = [str(self.run.path), f"{n:,} {kind} {spec}{classes}; parameters {sizes}; {on}"]
        if self.origin is not None:
            lines.append(self.origin.sentence())
        if self.data.labels is not None:
            test = "no test error: this part of the data holds no images out"
            known = f"{len(self.data.labeled)} labels are known"
            lines.append(f"{known}; {test}" if self.classification.held_out is None else known)
        if isinstance(gan := self.gan, GAN):
            lines += compatibility.doubts(gan.discriminator, gan.loss, gan.regularizers)
        return "\n".join(lines)

    @rank_zero_only
    def _conclude(self, status: str, error: str | None = None) -> None:
        try:
            self._write_down(status, error)
        finally:
            if command := self._finish_logging(status):
                print(f"W&B is offline; to upload this run: {command}")

    @rank_zero_only
    def _finish_logging(self, status: str) -> str | None:
        """Ends the W&B run; returns the command that uploads it if it is offline."""
        runs = [logger for logger in self.loggers if isinstance(logger, WandbRun)]
        if self.scores is not None and (fresh := self.scores.fresh) is not None:
            for logger in runs:
                logger.keep_fresh(fresh.named(), fresh.iterations)
        return next(filter(None, [logger.finish(status) for logger in runs]), None)

    def _write_down(self, status: str, error: str | None) -> None:
        """Writes summary.json."""
        results = {
            "iterations": self.gan.iterations,
            "images_seen": self.gan.images_seen,
            "seconds": round(self.journal.seconds, 3),
            "last": self.journal.latest,
        }
        if self.health is not None:
            results["health"] = [verdict.as_dict() for verdict in self.health.verdicts]
        if self.scores is not None:
            results |= self.scores.summary()
        found = [record for one in self.likelihoods for record in one.latest]
        self.run.conclude(status, results, error)
        self.run.note_likelihoods(found)
        if self.scores is not None:
            self.run.note_scores([card.as_dict() for card in self.scores.cards().values()])


def parameters(*networks: nn.Module) -> str:
    """The number of parameters, rounded: 1.2M."""
    n = sum(p.numel() for network in networks for p in network.parameters())
    power = min(2, int(math.log10(max(n, 1)) // 3))
    return f"{n / 1000**power:.1f}{'kM'[power - 1]}" if power else str(n)


def quiet_lightning() -> None:
    """Silences Lightning's advertisements, and its advice on loops that ganlab does not use."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", module="lightning_fabric")
