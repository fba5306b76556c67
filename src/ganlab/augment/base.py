"""What every augmentation offers."""

from typing import ClassVar

from torch import Tensor

from ganlab.training.terms import Output, Term


class Augment(Term):
    """No augmentation: D sees the images as they are.  Base of all others.

    `needs_pixels`: it shifts or cuts images; data of points is refused.
    `needs_sign`: it follows the sign of D's logits; losses without a meaning of it are refused.
    """

    needs_pixels: ClassVar[bool] = False
    needs_sign: bool = False

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return images

    def hear(self, real: Output) -> None:
        """Takes note of D's output on augmented real images, once in each pass of D's update.

        What it keeps belongs into buffers: checkpoints save them, and CUDA graphs update them.
        """

    def readings(self) -> dict[str, Tensor]:
        """Scalars from the state of the augmentation, by name, to log."""
        return {}
