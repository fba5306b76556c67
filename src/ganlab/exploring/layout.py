"""How weights lie in memory, and how a transposed convolution becomes several plain ones."""

from typing import NamedTuple

import numpy as np

BLOCK = 4  # outputs that are summed at once


class Frame(NamedTuple):
    """Sizes of a convolution: input (channels, height, width), output (rows, columns).

    Args:
        channels, height, width: of the input.
        rows, columns: of the output.
        stride: of the convolution, the same in both directions.
        top, left: zeros before the input, or outputs left out of a transposed convolution.
    """

    channels: int
    height: int
    width: int
    rows: int
    columns: int
    stride: int
    top: int
    left: int


class Part(NamedTuple):
    """A convolution that computes every step-th pixel of its output.

    Args:
        weight: (outputs, height, width, channels).
        size: rows and columns that it computes.
        top, left: where its first window begins in the input, which may be before it.
        stride: from one window to the next.
        row, column: its first pixel in the output.
        step: from one pixel to the next.
    """

    weight: np.ndarray
    size: tuple[int, int]
    top: int
    left: int
    stride: int = 1
    row: int = 0
    column: int = 0
    step: int = 1


class Border(NamedTuple):
    """Zeros around an image."""

    top: int
    bottom: int
    left: int
    right: int


def whole(weight: np.ndarray, frame: Frame) -> Part:
    """A convolution with weights (outputs, height, width, channels)."""
    size = (frame.rows, frame.columns)
    return Part(weight, size, -frame.top, -frame.left, stride=frame.stride)


def phases(weight: np.ndarray, frame: Frame) -> list[Part]:
    """The plain convolutions that a transposed one of stride s is: s in each direction.

    Output pixel o hears input pixel i through weight o + pad - s i.  So outputs that are s apart
    hear their inputs through the same weights, in reversed order.

    Args:
        weight: (channels, outputs, height, width).
        frame: of the transposed convolution.
    """
    stride, parts = frame.stride, []
    for row in range(min(stride, frame.rows)):
        for column in range(min(stride, frame.columns)):
            (top, down), (left, across) = (row + frame.top, stride), (column + frame.left, stride)
            taps = weight[:, :, top % down :: down, left % across :: across]
            reversed_ = taps[:, :, ::-1, ::-1].transpose(1, 2, 3, 0)
            high, wide = taps.shape[2:]
            size = (-(-(frame.rows - row) // stride), -(-(frame.columns - column) // stride))
            begin = (top // down - high + 1, left // across - wide + 1)
            parts.append(Part(reversed_, size, *begin, row=row, column=column, step=stride))
    return parts


def spread(weight: np.ndarray, bias: np.ndarray, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """The matrix and the biases of a transposed convolution of one pixel, channels last.

    Args:
        weight: (channels, outputs, height, width).
        bias: (outputs,).
        frame: whose input is one pixel.
    """
    rows, columns = frame.rows, frame.columns
    more = [(0, 0), (0, 0), (0, frame.top + rows), (0, frame.left + columns)]  # output padding
    heard = np.pad(weight, more)[:, :, frame.top :, frame.left :][:, :, :rows, :columns]
    return heard.transpose(2, 3, 1, 0).reshape(-1, frame.channels), np.tile(bias, rows * columns)


def border(parts: list[Part], frame: Frame) -> Border:
    """The zeros that all parts together need around their input."""
    ends = [
        (
            part.top + (part.size[0] - 1) * part.stride + part.weight.shape[1],
            part.left + (part.size[1] - 1) * part.stride + part.weight.shape[2],
        )
        for part in parts
    ]
    return Border(
        max(0, *(-part.top for part in parts)),
        max(0, *(down - frame.height for down, _ in ends)),
        max(0, *(-part.left for part in parts)),
        max(0, *(across - frame.width for _, across in ends)),
    )


def fours(weight: np.ndarray) -> np.ndarray:
    """Weights (outputs, ...) as (outputs / 4, ..., 4), with zeros for outputs that are missing."""
    flat = weight.reshape(len(weight), -1)
    flat = np.pad(flat, [(0, -len(flat) % BLOCK), (0, 0)])
    return flat.reshape(len(flat) // BLOCK, BLOCK, flat.shape[1]).transpose(0, 2, 1)


def padded(bias: np.ndarray) -> np.ndarray:
    """Biases, with zeros up to a multiple of 4."""
    return np.pad(bias.ravel(), (0, -bias.size % BLOCK))


def places(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(channels, height, width) of one image; of a vector or of one number (n, 1, 1)."""
    sides = shape[1:] if len(shape) in (2, 4) else shape
    return (*sides, 1, 1, 1)[:3] if len(sides) < 3 else sides  # type: ignore[return-value]


def last(values: np.ndarray) -> np.ndarray:
    """Values (..., C, H, W) with their channels last; others as they are."""
    return np.moveaxis(values.reshape(places(values.shape)), 0, -1)
