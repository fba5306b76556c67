"""Where the time of a profiled stretch goes: labelled spans and operators -> a table for people."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Path = tuple[str, ...]  # labels, outermost first; (): under no label
SMALL = 0.005  # of all time: what takes less is not listed by itself
LARGE = 0.2  # what takes more is worth advice
ELSE, LOOP = "else", "Lightning's loop"
ADVICE = {  # by kind of part
    "networks": "the networks: width, batch_size; trainer.precision=bf16-mixed",
    "penalty": "{name}, and as much again of backward, which differentiates it: {name}.every=16",
    "optimizer": "the optimizers: a larger batch_size needs fewer updates",
    "data": "the data: images that fit a quarter of the GPU's free memory are kept there",
    "noise": "the noise: a smaller latent.dim",
    "bookkeeping": "what is beside training: larger log_every, sample_every, checkpoint_every",
    "overhead": "Python, not arithmetic: a larger batch_size costs little more",
}


class Span(NamedTuple):
    """A labelled stretch of time, in microseconds; '/' in a label puts it below another."""

    label: str
    start: float
    end: float


class Operator(NamedTuple):
    """An operator of torch: times of its own in microseconds, and how often it ran."""

    name: str
    cpu: float
    device: float
    calls: int


class Cost(NamedTuple):
    """Microseconds of the clock, and of the GPU's work that was asked for meanwhile."""

    clock: float = 0.0
    device: float = 0.0

    def plus(self, other: "Cost") -> "Cost":
        return Cost(self.clock + other.clock, self.device + other.device)


def timeline(spans: Iterable[Span]) -> list[tuple[float, Path]]:
    """(time, labels from then on) at each begin and end of nested spans."""
    changes, inside = list[tuple[float, Path]](), list[Span]()
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        while inside and inside[-1].end <= span.start:
            changes.append((inside.pop().end, path_of(inside)))
        inside.append(span)
        changes.append((span.start, path_of(inside)))
    while inside:
        changes.append((inside.pop().end, path_of(inside)))
    return changes


def path_of(inside: Sequence[Span]) -> Path:
    """The labels of nested spans; what a penalty calls is the penalty's."""
    labels = [label for span in inside for label in span.label.split("/") if label]
    first = next((i for i, label in enumerate(labels) if label.startswith("regularizer.")), None)
    return tuple(labels if first is None else labels[: first + 1])


def costs(
    spans: Iterable[Span], work: Iterable[tuple[float, float]] = ()
) -> dict[tuple[str, str], Cost]:
    """What each part costs by itself: (outermost label, innermost label) -> Cost.

    Args:
        spans: nested; the outermost is the whole stretch, with an empty label.
        work: (when it was asked for, microseconds on the GPU), by whatever thread.
    """
    changes = timeline(spans)
    times = [time for time, _ in changes]
    found = defaultdict[tuple[str, str], Cost](Cost)
    for (start, path), end in zip(changes, times[1:], strict=False):
        found[part(path)] = found[part(path)].plus(Cost(end - start))
    for asked, duration in work:
        if 0 < (place := bisect_right(times, asked)) < len(changes):
            name = part(changes[place - 1][1])
            found[name] = found[name].plus(Cost(0.0, duration))
    return dict(found)


def part(path: Path) -> tuple[str, str]:
    """(outermost, innermost) label."""
    if not path:
        return LOOP, ""
    return path[0], path[-1] if len(path) > 1 else ""


def table(found: dict[tuple[str, str], Cost], iterations: int) -> str:
    """Milliseconds of an iteration and shares; a column for the GPU's if it has worked."""
    total = sum_of(found.values())
    rows = [("an iteration", total)]
    groups = dict.fromkeys(group for group, _ in found)
    whole = {g: sum_of(cost for (group, _), cost in found.items() if group == g) for g in groups}
    for group in sorted(groups, key=lambda group: -whole[group].clock):
        rows.append((group, whole[group]))
        inner = {name: cost for (g, name), cost in found.items() if g == group}
        rows += [(f"  {name}", cost) for name, cost in listed(inner, total)]
    lines = [line(name, cost, total, iterations) for name, cost in rows]
    gpu = f"{'GPU ms':>10}{'share':>8}" if total.device else ""
    return "\n".join([f"{'':32}{'ms':>10}{'share':>8}{gpu}", *lines])


def listed(inner: dict[str, Cost], total: Cost) -> list[tuple[str, Cost]]:
    """The parts of a group, the largest first; small ones, and what has no name, together."""
    kept = {n: c for n, c in inner.items() if n and is_large(c, total, SMALL)}
    if not kept:
        return []
    rest = sum_of(cost for name, cost in inner.items() if name not in kept)
    rows = sorted(kept.items(), key=lambda row: -max(row[1]))
    return [*rows, (ELSE, rest)] if is_large(rest, total, SMALL) else rows


def is_large(cost: Cost, total: Cost, share: float) -> bool:
    return cost.clock > share * total.clock or cost.device > share * total.device > 0


def sum_of(several: Iterable[Cost]) -> Cost:
    total = Cost()
    for cost in several:
        total = total.plus(cost)
    return total


def line(name: str, cost: Cost, total: Cost, iterations: int) -> str:
    """One row of the table."""
    pairs = [(cost.clock, total.clock)] + ([(cost.device, total.device)] if total.device else [])
    cells = (f"{c / iterations / 1000:10.3f}{c / t:8.0%}" for c, t in pairs)
    return f"{name:32}{''.join(cells)}"


def operators(several: Iterable[Operator], iterations: int, most: int = 12) -> str:
    """The operators with most time of their own: on the GPU if there is one."""
    every = list(several)
    on_gpu = any(one.device for one in every)
    times = {one: one.device if on_gpu else one.cpu for one in every}
    total = sum(times.values()) or 1.0
    first = sorted(every, key=lambda one: -times[one])[:most]
    unit = "GPU ms" if on_gpu else "ms"
    head = f"{'operators, by themselves':52}{unit:>10}{'share':>8}{'calls':>8}"
    rows = (
        f"{one.name[:50]:52}{times[one] / iterations / 1000:10.3f}{times[one] / total:8.0%}"
        f"{one.calls / iterations:8.1f}"
        for one in first
    )
    return "\n".join([head, *rows])


def advice(found: dict[tuple[str, str], Cost]) -> list[str]:
    """What may be done about the parts that take most of the time."""
    total, kinds = sum_of(found.values()), defaultdict[str, Cost](Cost)
    for (group, name), cost in found.items():
        kind = kind_of(group, name)
        kinds[kind] = kinds[kind].plus(cost)
    large = {
        kind: cost
        for kind, cost in kinds.items()
        if is_large(cost, total, LARGE / 2 if kind.startswith("regularizer.") else LARGE)
    }
    told = []
    for kind in sorted(large, key=lambda kind: -large[kind].clock):
        text = ADVICE["penalty" if kind.startswith("regularizer.") else kind]
        told.append(f"{large[kind].clock / total.clock:4.0%}  {text.format(name=kind)}")
    return told


def kind_of(group: str, name: str) -> str:
    """Which advice a part is for."""
    if group in ADVICE or name in ADVICE:
        return group if group in ADVICE else name
    if name.startswith("regularizer."):
        return name
    return "networks" if name.endswith(("forward", "backward")) else "overhead"
