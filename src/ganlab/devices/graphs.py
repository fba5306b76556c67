"""A whole iteration as one CUDA graph: hundreds of small kernels are launched by one call.

At the sizes of most GANs a GPU waits for Python.  A graph holds the kernels of both players'
updates, from gathering real images to the average of weights, with the addresses they read and
write; what changes from one iteration to the next stands at such an address: which images, the
seeds of random numbers, learning rates.  What Python decides at each iteration, such as a lazy
penalty, has a graph for each case.
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

WARM = 3  # iterations before the first graph: libraries choose kernels, optimizers make their state
CASES = 8  # graphs at most; each holds the activations of an iteration
NEAR = 0.05  # of an update's length: sums by atomics do not repeat bit for bit

Work = Callable[[], Any]
Recorder = Callable[[Work, torch.Generator], tuple[Any, Callable[[], None]]]


class CaptureError(Exception):
    """An iteration cannot be captured; the message says why."""


def cuda_graph(work: Work, noise: torch.Generator) -> tuple[Any, Callable[[], None]]:
    """Records what `work` launches; returns what it returned, and what launches it all again.

    Args:
        work: is run once, by Python alone: nothing is computed yet.
        noise: a generator whose seed counts at each replay, as that of torch's own does anyway.
    """
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(noise)
    # Other threads may use the device meanwhile, such as one that writes a checkpoint.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = work()
    return result, graph.replay


def reason_against(model: Generative, trainer: Trainer) -> str | None:
    """Why this Trainer's iterations of this GAN cannot be captured; None: they can."""
    if (device := trainer.strategy.root_device.type) != "cuda":
        return f"there are no CUDA graphs on {device}"
    if trainer.world_size > 1:
        return "several devices average their gradients in between"
    if trainer.precision == "16-mixed":
        return "16-mixed looks at all gradients before it steps; bf16-mixed does not"
    return reason_in_parts(model)


def reason_in_parts(model: Generative) -> str | None:
    """The same, by what it is made of."""
    for name, player in model.players.items():
        if not capturable(player.rule):
            return f"{name}_optimizer is none of torch's that are capturable (adam, adamw, rmsprop)"
        if moving := player.rule.scheduled.keys() - {"lr"}:
            return f"{name}_optimizer.{min(moving)} follows a schedule, which torch's kernels fix"
    if (found := stranger(model)) is not None:
        return f"{type(found).__name__} is neither torch's nor ganlab's and may do anything"
    return None


def capturable(rule: UpdateRule) -> bool:
    """Whether it is one of torch's optimizers that can keep its counts and rates on the device."""
    own = rule.callee.__module__.startswith("torch.optim.")
    return own and "capturable" in inspect.signature(rule.callee).parameters


@dataclass(frozen=True)
class Graph:
    """One case of an iteration.

    Args:
        batch: where it reads real images, or which they are.
        updates: how many updates of each player it makes.
        layout, observed: where it leaves what it observes, as `Observations.packed` does.
        replay: computes it once.
    """

    batch: RealImages
    updates: dict[str, int]
    layout: Layout
    observed: Tensor
    replay: Callable[[], None]


class Captured:
    """Plays a GAN's iterations by graphs; stands in for `GAN.play`.

    A graph is tried before it is trusted: from the same state, it must make the same updates as
    Python does.  If it does not, or cannot be captured, Python goes on from that state.

    Args:
        model: in training.
        refused: is told why Python goes on.
        record: what captures; tests have one for the CPU.
    """

    def __init__(
        self, model: Generative, refused: Callable[[str], None], record: Recorder = cuda_graph
    ) -> None:
        self.model, self.refused, self.record = model, refused, record
        self.graphs: dict[tuple[bool, ...], Graph] = {}
        self.eager, self.warm = model.play, WARM
        model.play = self  # type: ignore[method-assign]
        for group in self._groups():
            group.setdefault("initial_lr", group["lr"])
            group["lr"] = torch.tensor(float(group["lr"]), device=model.device)
            group["capturable"] = True
        for state in self._states():
            if "step" in state:
                state["step"] = torch.as_tensor(state["step"], device=model.device)
        if model.ema is not None:
            model.ema.share = torch.tensor(float(model.ema.share), device=model.device).to(
                model.dtype
            )

    def release(self) -> None:
        """Gives the iterations back to Python."""
        self.model.play = self.eager  # type: ignore[method-assign]
        self.graphs.clear()
        for group in self._groups():
            group["lr"], group["capturable"] = float(group["lr"]), False
        if self.model.ema is not None:
            self.model.ema.share = float(self.model.ema.share)

    def __call__(self, batch: RealImages) -> None:
        graph = self._graph_for(batch)
        if graph is None:
            self.eager(batch)
        else:
            self.replay(graph, batch)

    @labelled("graph of both updates")
    def replay(self, graph: Graph, batch: RealImages) -> None:
        """Plays an iteration on these images."""
        for static, now in zip(graph.batch.tensors(), batch.tensors(), strict=True):
            static.copy_(now)
        graph.replay()
        self._count(graph)

    def _graph_for(self, batch: RealImages) -> Graph | None:
        """The graph of this case; None: it is Python's turn."""
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
        """What Python would have noted; Lightning hears of G's update, as from its own wrapper."""
        self.model.observations.add_packed(graph.layout, graph.observed.clone())
        for player, n in graph.updates.items():
            self.model.updates[player] += n
        self._wrapper._on_before_step()
        self._wrapper._on_after_step()

    def _tried(self, batch: RealImages) -> Graph:
        """A new graph, which makes the same updates as Python; the GAN is as it was.

        Raises:
            CaptureError: it cannot be captured, or computes something else.
        """
        if len(self.graphs) == CASES:
            raise CaptureError(f"iterations come in more than {CASES} forms")
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
        """For an iteration that does not count; what it observes is kept apart."""
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
        """Lightning's, around the optimizer whose steps it counts."""
        return self.model.counting_optimizer

    def _groups(self) -> Iterator[dict[str, Any]]:
        for player in self.model.players:
            yield from self.model.optimizer(player).param_groups

    def _states(self) -> Iterator[dict[str, Any]]:
        for player in self.model.players:
            yield from self.model.optimizer(player).state.values()

    def _state(self) -> Iterator[Tensor]:
        """All that an iteration changes."""
        yield from self.model.parameters()
        yield from self.model.buffers()
        for values in self._states():
            yield from (value for value in values.values() if isinstance(value, Tensor))


def copied(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The same values in memory of their own."""
    return [tensor.detach().clone() for tensor in tensors]


@torch.no_grad()
def restore(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Writes the values to where they were read."""
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)


def require_same(
    start: Sequence[Tensor], expected: Sequence[Tensor], got: Sequence[Tensor]
) -> None:
    """Raises CaptureError unless one update of these parameters is as good as the other."""
    length, off = distance(expected, start), distance(expected, got)
    if not off <= NEAR * length:
        raise CaptureError(f"the graph makes another update: {off:.2g} off, of {length:.2g}")


def distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    """Euclidean, between all tensors of either list taken as one vector."""
    apart = [(x.detach() - y.detach()).norm() for x, y in zip(a, b, strict=True)]
    return torch.stack(apart).norm().item()
