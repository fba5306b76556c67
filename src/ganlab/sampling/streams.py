"""Any number of images as files, in constant memory: single PNGs, an array, or an .npz."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from torch import Tensor

from ganlab.data.progress import watched
from ganlab.plots import pictures
from ganlab.sampling.drawn import Drawn
from ganlab.spec import PointSpec
from ganlab.storage import files


def save_singles(drawn: Drawn, folder: Path) -> Path:
    """Writes folder/00000.png, 00001.png, ..., in the images' own size.

    So torch-fidelity and clean-fid read them.
    """
    files.own_folder(folder)
    names = drawn.names
    for images in counted(drawn):
        for pixels in pictures.to_pixels(images):
            pictures.save(folder / f"{next(names)}.png", pixels)
    return folder


def save_array(drawn: Drawn, path: Path) -> Path:
    """Writes uint8 (n, H, W, C), or float32 (n, dim) of points, part by part."""
    spec = drawn.gan.spec
    points = isinstance(spec, PointSpec)
    each = spec.shape if points else (*spec.shape[1:], spec.shape[0])
    with files.replacing(path) as part, part.open("wb") as file:
        begin(file, "<f4" if points else "|u1", (drawn.n, *each))
        for generated in counted(drawn):
            pixels = generated.cpu().numpy() if points else pictures.to_pixels(generated)
            file.write(pixels.tobytes())
    return path


def save_npz(drawn: Drawn, path: Path) -> Path:
    """Writes what the evaluator of guided-diffusion reads (Dhariwal & Nichol 2021).

    `arr_0` is uint8 (n, H, W, 3): its Inception takes three channels, so grey is repeated and
    transparency is dropped.  If G is told the class, `arr_1` is int64 (n,), the classes.  The
    arrays are not compressed, and the same images give the same bytes.
    """
    with files.replacing(path) as part, zipfile.ZipFile(part, "w") as archive:
        with member(archive, "arr_0") as file:
            begin(file, "|u1", (drawn.n, *drawn.gan.spec.shape[1:], 3))
            for images in counted(drawn):
                file.write(pictures.to_pixels(coloured(images)).tobytes())
        classes = drawn.classes()
        if classes is not None:
            with member(archive, "arr_1") as file:
                begin(file, "<i8", (drawn.n,))
                file.write(classes.numpy().astype("<i8").tobytes())
    return path


def counted(drawn: Drawn) -> Iterator[Tensor]:
    """The images part by part, with a progress line."""
    with watched(f"drawing {drawn.n:,} images", drawn.n) as watch:
        for images in drawn.parts():
            yield images
            watch(len(images))


def coloured(images: Tensor) -> Tensor:
    """(N, 3, H, W) of images with 1, 3 or 4 channels."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images[:, :3]


def begin(file: BinaryIO, kind: str, shape: tuple[int, ...]) -> None:
    """Writes the header of NumPy's format, version 1.0, before the numbers in C order."""
    about = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)


def member(archive: zipfile.ZipFile, name: str) -> BinaryIO:
    """An array of an .npz to write; its date is always the same, and it may exceed 4 GB."""
    return archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)  # type: ignore[return-value]
