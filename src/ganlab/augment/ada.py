"""Adaptive augmentation: how often images are changed follows how much D overfits."""

import difflib
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ganlab.augment.base import Augment
from ganlab.augment.color import Color
from ganlab.augment.corruption import Cutout, Noise
from ganlab.augment.filtering import Filter
from ganlab.augment.geometry import Geometry
from ganlab.augment.transformation import Stage
from ganlab.schedules import Clock, Constant, Number, Schedule, bounds
from ganlab.spec import at_least, positive
from ganlab.training.terms import Output

GROUPS = {
    "blit": ("xflip", "rotate90", "xint"),
    "geometry": ("scale", "rotate", "anisotropy", "xfrac"),
    "color": Color.names,
    "filter": Filter.names,
    "noise": Noise.names,
    "cutout": Cutout.names,
}
STAGES: tuple[type[Stage], ...] = (Geometry, Color, Filter, Noise, Cutout)
NAMES = tuple(name for stage in STAGES for name in stage.names)


class ADA(Augment):
    """Each transformation changes each image with probability p (Karras et al. 2020a, section 3).

    p follows D's overfitting: every `every` iterations it rises by (images since) / `images` if
    E[sign D(real)] is above `target`, and falls by as much, down to 0, if it is below.  It counts
    real images of all devices.  While p is below about 0.8, none of the changes leaks into what G
    makes: only the true distribution looks right when changed (section 2.2, appendix C).

    The groups, in the order in which they change an image (appendix B; images in [-1, 1]):

    - blit: xflip (half of the time), rotate90 (0 to 3 quarters), xint (by whole pixels, up to 1/8
      of the size);
    - geometry: scale (2^N(0, 0.2^2)), rotate (any angle), anisotropy (x wider and y narrower by
      2^N(0, 0.2^2)), xfrac (shift by N(0, 1/8^2) of the size);
    - color: brightness (+ N(0, 0.2^2)), contrast (x 2^N(0, 0.5^2)), lumaflip (half of the time),
      hue (any angle), saturation (x 2^N(0, 1)); images of one channel have the first three;
    - filter: imgfilter (gains of four bands of frequencies);
    - noise: noise (of the standard deviation |N(0, 0.1^2)|);
    - cutout: cutout (a square of half the size becomes 0).

    Args:
        p: None: it starts at 0 and follows D; or a number in [0, 1], or a schedule.
        groups: whose transformations have the multiplier 1; those of the others have 0.
        multipliers: by name of a transformation, in place of 1 or 0.  Its probability is the
            multiplier times p, at most 1.
        target: of E[sign D(real)], in (-1, 1).
        every: iterations between two steps of p.
        images: real images in which p can rise by 1.

    Raises:
        ValueError: a name is unknown, or a number is out of range.
    """

    needs_pixels = True
    p: Tensor
    sign: Tensor
    signs: Tensor
    heard: Tensor
    stepped: Tensor

    def __init__(
        self,
        p: Number | None = None,
        groups: Sequence[str] = ("blit", "geometry", "color"),
        multipliers: Mapping[str, float] | None = None,
        target: float = 0.6,
        every: int = 4,
        images: int = 500_000,
    ) -> None:
        super().__init__()
        multipliers = multipliers or {}
        known("groups", groups, GROUPS)
        known("multipliers", multipliers, NAMES)
        at_least(0, **{f"multipliers.{name}": value for name, value in multipliers.items()})
        at_least(1, every=every)
        positive(images=images)
        if not -1 < target < 1:
            raise ValueError(f"target must be greater than -1 and less than 1, got {target}")
        chosen = dict.fromkeys((name for group in groups for name in GROUPS[group]), 1.0)
        self.multipliers = {n: m for n, m in {**chosen, **multipliers}.items() if m > 0}
        self.stages = nn.ModuleList(
            stage() for stage in STAGES if self.multipliers.keys() & set(stage.names)
        )
        self.target, self.every, self.span = target, every, images
        self.needs_sign = p is None
        self.register_buffer("sign", torch.zeros(()), persistent=False)  # of the last pass
        if p is None:
            # p, the sum of signs and their number since its last step, and the images until then.
            for name in ("p", "signs", "heard"):
                self.register_buffer(name, torch.zeros(()))
            self.register_buffer("stepped", torch.zeros((), dtype=torch.int64))
        else:
            least, greatest = bounds(p)
            if not 0 <= least <= greatest <= 1:
                raise ValueError(f"p must be in [0, 1], got {least if least < 0 else greatest}")
            self.set_numbers(p=p if isinstance(p, Schedule) else Constant(p))

    def forward(self, images: Tensor) -> Tensor:
        chances = {name: by * self.p for name, by in self.multipliers.items()}
        with torch.autocast(images.device.type, enabled=False):  # colors need more than 8 bits
            changed = images.to(torch.promote_types(images.dtype, torch.float32))
            for stage in self.stages:
                changed = stage(changed, chances)
        return changed.to(images.dtype)

    def hear(self, real: Output) -> None:
        signs = real.logits.detach().sign()
        self.sign.copy_(signs.mean())
        if self.needs_sign:
            self.signs.add_(signs.sum())
            self.heard.add_(len(signs))

    @torch.no_grad()
    def begin(self, clock: Clock) -> None:
        """Moves p, where it follows D, in every `every`-th iteration.

        What was heard is the same on all devices by now: `Generative.average` saw to it.
        """
        super().begin(clock)
        done = clock.images // max(clock.images_per_iteration, 1)
        if not self.needs_sign or done % self.every:
            return
        since = clock.images - self.stepped  # 0 if an iteration begins twice
        certain = self.signs / self.heard.clamp(min=1)
        step = (certain - self.target).sign() * since / self.span
        self.p.add_(step).clamp_(min=0)
        self.stepped.fill_(clock.images)
        self.signs.zero_()
        self.heard.zero_()

    def readings(self) -> dict[str, Tensor]:
        return {"augment/p": self.p.clone(), "augment/sign": self.sign.clone()}


def known(argument: str, names: Iterable[str], choices: Iterable[str]) -> None:
    """Raises ValueError unless all names are among the choices; names the nearest."""
    choices = list(choices)
    for name in names:
        if name not in choices:
            close = difflib.get_close_matches(name, choices, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise ValueError(f"{argument}: '{name}' is none of {', '.join(choices)}{hint}")
