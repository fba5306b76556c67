"""A workspace of Weights & Biases with panels of what runs have logged, and of nothing else."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from ganlab.errors import ConfigError
from ganlab.runs.folder import Run, varied
from ganlab.runs.readings import AXES, readings
from ganlab.scoring.protocol import score_named

MISSING = "dashboard: wandb-workspaces is not installed; say: pip install 'ganlab[dashboard]'"
COLUMNS = 3


@dataclass(frozen=True)
class Logged:
    """What runs have logged, by the names that W&B knows it by.

    Args:
        metrics: all but the axes.
        pictures: grids, sheets of codes, curves.
        varied: dotted keys of the config in which the runs differ.
    """

    metrics: list[str]
    pictures: list[str]
    varied: list[str]

    @classmethod
    def by(cls, runs: Sequence[Run]) -> Self:
        """What at least one of these runs has logged."""
        rows = (row for run in runs for row in readings(run.path / "metrics.csv"))
        names = dict.fromkeys(name for row in rows for name in row if name not in AXES)
        drawn = dict.fromkeys(name for run in runs for name in pictures_of(run))
        return cls(list(names), list(drawn), varied(runs))

    @property
    def scores(self) -> list[str]:
        """Those of the metrics that are scores."""
        return [name for name in self.metrics if score_named(name)]

    @property
    def goals(self) -> list[str]:
        """What a sweep is looked at for: the best scores, or else what D says at the end."""
        return [f"best/{name}" for name in self.scores] or self.signals

    @property
    def signals(self) -> list[str]:
        """What D says to real and generated images."""
        return [name for name in self.metrics if name.startswith("D(")]

    def below(self, prefix: str) -> list[str]:
        """The metrics whose names begin so."""
        return [name for name in self.metrics if name.startswith(f"{prefix}/")]


def pictures_of(run: Run) -> list[str]:
    """The names under which a run logs pictures."""
    grids = sorted({file.parent.name for file in run.samples.rglob("iteration-*.png")})
    return [*grids, *(["curves"] if (run.path / "curves.png").exists() else [])]


def workspace(logged: Logged, name: str, project: str, entity: str) -> Any:
    """The workspace of wandb-workspaces, not yet put up.

    Raises:
        ConfigError: the package is missing.
    """
    try:
        import wandb_workspaces.workspaces as ws
    except ImportError as error:
        raise ConfigError([MISSING]) from error
    made = [
        ws.Section(
            name=title,
            panels=panels,
            is_open=True,
            layout_settings=ws.SectionLayoutSettings(COLUMNS, math.ceil(len(panels) / COLUMNS)),
        )
        for title, panels in sections(logged).items()
        if panels
    ]
    return ws.Workspace(
        name=name,
        project=project,
        entity=entity,
        sections=made,
        settings=ws.WorkspaceSettings(x_axis=AXES[0]),
        runset_settings=ws.RunsetSettings(groupby=grouping(logged.varied)),
    )


def sections(logged: Logged) -> dict[str, list[Any]]:
    """The panels, by the title of their section."""
    import wandb_workspaces.reports.v2.interface as wr

    def line(names: list[Any], title: str, x: str = AXES[0]) -> Any:
        return wr.LinePlot(title=title, x=x, y=names)

    losses, norms = logged.below("loss"), logged.below("grad_norm")
    play = {"losses": losses, "D on real and generated images": logged.signals}
    shown = {*logged.scores, *losses, *logged.signals, *norms}
    return {
        "Scores": [line([name], name, x) for name in logged.scores for x in AXES],
        "Play": [line(names, title) for title, names in play.items() if names],
        "Gradient norms": [line(norms, "gradient norms")] if norms else [],
        "Samples": [
            wr.MediaBrowser(title=name, media_keys=[name], gallery_axis="step")
            for name in logged.pictures
        ],
        "Sweep": sweep(logged),
        "Other readings": [line([name], name) for name in logged.metrics if name not in shown],
    }


def sweep(logged: Logged) -> list[Any]:
    """What differs between runs against what comes of it; nothing where nothing differs."""
    import wandb_workspaces.reports.v2.interface as wr

    if not logged.varied:
        return []
    keys: list[Any] = [*map(wr.Config, logged.varied), *map(wr.SummaryMetric, logged.goals)]
    columns = [wr.ParallelCoordinatesPlotColumn(metric=key) for key in keys]
    return [
        wr.ParallelCoordinatesPlot(columns=columns),
        *(wr.ParameterImportancePlot(with_respect_to=goal) for goal in logged.goals[:1]),
        wr.RunComparer(diff_only=True),
    ]


def grouping(varied: list[str]) -> list[Any]:
    """Seeds together: by all else that differs, or by sweep where nothing else does."""
    from wandb_workspaces import expr

    if "seed" not in varied:
        return []
    return [expr.Config(key) for key in varied if key != "seed"] or [expr.Metric("Group")]


def put_up(made: Any) -> str:
    """Saves a workspace; returns its address.

    Raises:
        ConnectionError: W&B cannot be reached, or refuses it.
    """
    import wandb

    try:
        made.entity = made.entity or wandb.Api().default_entity
        made.save()
    except wandb.errors.Error as error:
        raise ConnectionError(str(error)) from error
    return str(made.url)


def as_json(made: Any) -> str:
    """A workspace as W&B stores it."""
    return str(made._to_model().spec.model_dump_json(by_alias=True, exclude_none=True, indent=2))
