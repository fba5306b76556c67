"""Captures a whole iteration as one CUDA graph, which launches hundreds of kernels in one call.

Most GANs are so small that the GPU waits for Python to launch kernels.  A graph contains the
kernels of both players' updates, from gathering real images to averaging weights, with fixed memory
addresses.  Values that change between iterations are stored at such addresses: indices of images,
random seeds, learning rates.  Decisions that Python makes per iteration, such as a lazy penalty,
need one graph per case.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor

from ganlab.generative import Generative
from ganlab.networks.discriminator import stranger
from ganlab.training.batch import RealImages
from ganlab.training.labels import labelled
from ganlab.training.observations import Layout, Observations
from ganlab.training.updates import UpdateRule

WARM = 3  # eager iterations first, to select kernels and to create the optimizers' state
CASES = 8  # maximum number of graphs; each holds the activations of an iteration
NEAR = 0.05  # relative tolerance of an update, because sums by atomics are not deterministic

Work = Callable[[], Any]
Recorder = Callable[[Work, torch.Generator], tuple[Any, Callable[[], None]]]


class CaptureError(Exception):
    """An iteration cannot be captured; the message says why."""


def cuda_graph(work: Work, noise: torch.Generator) -> tuple[Any, Callable[[], None]]:
    """Captures the kernels that `work` launches; returns its result and a function to replay them.

    Args:
        work: runs once; its kernels are recorded, not executed.
        noise: a generator whose current state is used at each replay; torch's default generators
            are handled in any case.
    """
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(noise)
    # Thread-local, because another thread may use the device, such as one writing a checkpoint.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = work()
    return result, graph.replay


def reason_against(model: Generative, trainer: Trainer) -> str | None:
    """The reason why this Trainer cannot capture this GAN's iterations; None if it can."""
    if (device := trainer.strategy.root_device.type) != "cuda":
        return f"there are no CUDA graphs on {device}"
    if trainer.world_size > 1:
        return "several devices average gradients within an iteration"
    if trainer.precision == "16-mixed":
        return "16-mixed checks all gradients before each step; bf16-mixed does not"
    return reason_in_parts(model)


def reason_in_parts(model: Generative) -> str | None:
    """The reason in the model's optimizers and modules; None if there is none."""
    for name, player in model.players.items():
        if not capturable(player.rule):
            return f"{name}_optimizer is not one that torch can capture (adam, adamw, rmsprop)"
        if moving := player.rule.scheduled.keys() - {"lr"}:
            return f"{name}_optimizer.{min(moving)} has a schedule, but a graph would keep it fixed"
    if (found := stranger(model)) is not None:
        return f"{type(found).__name__} is not from torch or ganlab and may not be capturable"
    return None


def capturable(rule: UpdateRule) -> bool:
    """Whether a rule uses a torch optimizer that can keep step counts and rates on the device."""
    own = rule.callee.__module__.startswith("torch.optim.")
    return own and "capturable" in inspect.signature(rule.callee).parameters


@dataclass(frozen=True)
class Graph:
    """The graph of one case of an iteration.

    Args:
        batch: its static input: real images, or their indices.
        updates: number of updates per player.
        layout, observed: its static output, the observations as `Observations.packed` returns them.
        replay: runs the graph once.
    """

    batch: RealImages
    updates: dict[str, int]
    layout: Layout
    observed: Tensor
    replay: Callable[[], None]


class Captured:
    """Replaces `GAN.play` and runs iterations by graphs.

    Each graph is checked against an eager iteration first: from the same state, both must make the
    same updates.  If they differ, or capture fails, training stays eager and continues from that
    state.

    Args:
        model: in training.
        refused: gets the reason if training stays eager.
        record: captures a graph; tests use a replacement for the CPU.
    """

    def __init__(
        self, model: Generative, refused: Callable[[str], None], record: Recorder = cuda_graph
    ) -> None:
        self.model, self.refused, self.record = model, refused, record
        self.graphs: dict[tuple[bool, ...], Graph] = {}
        self.eager, self.warm = model.play, WARM
        # Instead of the method: this object plays until it is released.
        model.play = self  # type: ignore[method-assign]
        for group in self._groups():
            group.setdefault("initial_lr", group["lr"])
            group["lr"] = torch.tensor(float(group["lr"]), device=model.device)
            group["capturable"] = True
        for state in self._states():
            if "step" in state:
                state["step"] = torch.as_tensor(state["step"], device=model.device)
        for average in model.averages:
            share = torch.tensor(float(average.share), device=model.device)
            average.share = share.to(model.dtype)

    def release(self) -> None:
        """Returns to eager iterations."""
        self.model.play = self.eager  # type: ignore[method-assign]
        self.graphs.clear()
        for group in self._groups():
            group["lr"], group["capturable"] = float(group["lr"]), False
        for average in self.model.averages:
            average.share = float(average.share)

    def __call__(self, batch: RealImages) -> None:
        graph = self._graph_for(batch)
        if graph is None:
            self.eager(batch)
        else:
            self.replay(graph, batch)

    @labelled("graph of both updates")
    def replay(self, graph: Graph, batch: RealImages) -> None:
        """Runs a graph on a batch."""
        for static, now in zip(graph.batch.tensors(), batch.tensors(), strict=True):
            static.copy_(now)
        graph.replay()
        self._count(graph)

    def _graph_for(self, batch: RealImages) -> Graph | None:
        """The graph of the current case; None if this iteration is to run eagerly."""
        if self.warm:
            self.warm -= 1
            return None
        case = self.model.control_flow()
        try:
            if case not in self.graphs:
                self.graphs[case] = self._tried(batch)
        except CaptureError as error:
            self.release()
            self.refused(str(error))
            return None
        return self.graphs[case]

    def _count(self, graph: Graph) -> None:
        """Records observations and updates, and notifies Lightning, as an eager iteration would."""
        self.model.observations.add_packed(graph.layout, graph.observed.clone())
        for player, n in graph.updates.items():
            self.model.updates[player] += n
        self._wrapper._on_before_step()
        self._wrapper._on_after_step()

    def _tried(self, batch: RealImages) -> Graph:
        """Captures a graph and checks it against an eager iteration; restores the GAN's state.

        Raises:
            CaptureError: the iteration cannot be captured, or the graph makes different updates.
        """
        if len(self.graphs) == CASES:
            raise CaptureError(f"iterations have more than {CASES} different control flows")
        static, state = batch.clone(), list(self._state())
        before = copied(state)
        players = [player.parameters for player in self.model.players.values()]
        start = [copied(parameters) for parameters in players]
        try:
            with self._unnoticed():
                self.eager(static)
            expected = [copied(parameters) for parameters in players]
            restore(state, before)
            with self._unnoticed() as seen:
                work = lambda: (self.eager(static), seen.packed())[1]  # noqa: E731
                begun = dict(self.model.updates)
                (layout, observed), replay = self.record(work, self.model.noise)
                updates = {player: n - begun[player] for player, n in self.model.updates.items()}
            restore(state, before)
            self.model.begin_iteration()
            replay()
            for parts in zip(start, expected, players, strict=True):
                require_same(*parts)
        except RuntimeError as error:
            raise CaptureError(str(error).splitlines()[0]) from error
        finally:
            restore(state, before)
            self.model.begin_iteration()
        return Graph(static, updates, layout, observed, replay)

    @contextmanager
    def _unnoticed(self) -> Iterator[Observations]:
        """For a trial iteration: hides its updates from counters and Lightning.

        Yields the separate observations of that iteration.
        """
        model, wrapper = self.model, self._wrapper
        kept = (
            model.observations,
            dict(model.updates),
            wrapper._on_before_step,
            wrapper._on_after_step,
        )
        model.observations = Observations(kept[0].score)
        model.observations.norms = kept[0].norms
        wrapper._on_before_step = wrapper._on_after_step = lambda: None
        model.begin_iteration()
        try:
            yield model.observations
        finally:
            model.observations, model.updates = kept[:2]
            wrapper._on_before_step, wrapper._on_after_step = kept[2:]

    @property
    def _wrapper(self) -> Any:
        """Lightning's wrapper of the optimizer whose steps Lightning counts."""
        return self.model.counting_optimizer

    def _groups(self) -> Iterator[dict[str, Any]]:
        for player in self.model.players:
            yield from self.model.optimizer(player).param_groups

    def _states(self) -> Iterator[dict[str, Any]]:
        for player in self.model.players:
            yield from self.model.optimizer(player).state.values()

    def _state(self) -> Iterator[Tensor]:
        """All tensors that an iteration changes."""
        yield from self.model.parameters()
        yield from self.model.buffers()
        for values in self._states():
            yield from (value for value in values.values() if isinstance(value, Tensor))


def copied(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Copies of tensors, without gradients."""
    return [tensor.detach().clone() for tensor in tensors]


@torch.no_grad()
def restore(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Copies values into tensors, in place."""
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)


def require_same(
    start: Sequence[Tensor], expected: Sequence[Tensor], got: Sequence[Tensor]
) -> None:
    """Raises CaptureError unless the expected and the actual update agree within NEAR."""
    length, off = distance(expected, start), distance(expected, got)
    if not off <= NEAR * length:
        text = f"the graph's update differs by {off:.2g} from an eager one of length {length:.2g}"
        raise CaptureError(text)


def distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    """Euclidean distance between two lists of tensors, each taken as one vector."""
    apart = [(x.detach() - y.detach()).norm() for x, y in zip(a, b, strict=True)]
    return torch.stack(apart).norm().item()
