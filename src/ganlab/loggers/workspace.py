"""A Weights & Biases workspace with panels for exactly those metrics that runs have logged."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from ganlab.errors import ConfigError
from ganlab.runs.folder import Run, varied
from ganlab.runs.readings import AXES, readings
from ganlab.scoring.protocol import score_named

MISSING = "dashboard: wandb-workspaces is not installed; run: pip install 'ganlab[dashboard]'"
COLUMNS = 3


@dataclass(frozen=True)
class Logged:
    """Names of everything that runs have logged, as in W&B.

    Args:
        metrics: all metrics except the axes.
        pictures: grids, sheets of codes, curves.
        varied: dotted keys of the config in which the runs differ.
    """

    metrics: list[str]
    pictures: list[str]
    varied: list[str]

    @classmethod
    def by(cls, runs: Sequence[Run]) -> Self:
        """Collects what at least one of these runs has logged."""
        rows = (row for run in runs for row in readings(run.path / "metrics.csv"))
        names = dict.fromkeys(name for row in rows for name in row if name not in AXES)
        drawn = dict.fromkeys(name for run in runs for name in pictures_of(run))
        return cls(list(names), list(drawn), varied(runs))

    @property
    def scores(self) -> list[str]:
        """The metrics that are scores."""
        return [name for name in self.metrics if score_named(name)]

    @property
    def goals(self) -> list[str]:
        """The metrics by which to compare the runs of a sweep: best scores, or else D's outputs."""
        return [f"best/{name}" for name in self.scores] or self.signals

    @property
    def signals(self) -> list[str]:
        """D's outputs for real and generated images."""
        return [name for name in self.metrics if name.startswith("D(")]

    def below(self, prefix: str) -> list[str]:
        """The metrics whose names start with `prefix` and a slash."""
        return [name for name in self.metrics if name.startswith(f"{prefix}/")]


def pictures_of(run: Run) -> list[str]:
    """The names under which a run logs pictures."""
    grids = sorted({file.parent.name for file in run.samples.rglob("iteration-*.png")})
    return [*grids, *(["curves"] if (run.path / "curves.png").exists() else [])]


def workspace(logged: Logged, name: str, project: str, entity: str) -> Any:
    """The workspace as an object of wandb-workspaces, not saved yet.

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
    """Section title -> its panels."""
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
    """Panels that relate the settings that differ to the results; none if no setting differs."""
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
    """Groups runs that differ in their seed alone; by sweep if no other setting differs.

    Empty if seeds do not differ.
    """
    from wandb_workspaces import expr

    if "seed" not in varied:
        return []
    return [expr.Config(key) for key in varied if key != "seed"] or [expr.Metric("Group")]


def put_up(made: Any) -> str:
    """Saves a workspace; returns its address.

    Raises:
        ConnectionError: W&B cannot be reached or refuses the workspace.
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
