"""Film files: GIF and WebP by Pillow, MP4 and WebM by PyAV, each frame written as it comes."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import GifImagePlugin, Image

from ganlab.storage import files

Format = Literal["gif", "webp", "mp4", "webm"]
SIDE = 224  # pixels: smaller frames are enlarged by a whole number
CODECS: dict[str, tuple[str, dict[str, str]]] = {  # options: of nearly the same quality
    "mp4": ("libx264", {"crf": "18"}),
    "webm": ("libvpx-vp9", {"crf": "24", "b:v": "0", "cpu-used": "4"}),
}
MISSING = "format={}: films of this kind need PyAV; pip install 'ganlab[video]', or set format=gif"


def check(kind: Format) -> None:
    """Raises ValueError if the library for a format is not installed."""
    if kind in CODECS:
        try:
            import av  # noqa: F401
        except ImportError as error:
            raise ValueError(MISSING.format(kind)) from error


def save(frames: Iterable[np.ndarray], count: int, path: Path, kind: Format, fps: int) -> None:
    """Writes a film; GIF and WebP are repeated without end.

    One frame at a time is in memory, and of a WebP what has been compressed.  Small frames are
    enlarged by a whole number.  The videos have H.264 or VP9 with halved resolution of colours, as
    all players expect, so an odd width or height is extended by a white line.

    Args:
        frames: uint8 RGB (H, W, 3), all of one size.
        count: how many there are, at least 1.
        path: of the file, which is replaced once it is complete.
        kind: of the file.
        fps: frames a second; a GIF counts hundredths of a second, and most players want 2 of them.
    """
    with files.replacing(path) as part:
        if kind == "gif":
            write_gif(map(enlarged, frames), part, fps)
        elif kind == "webp":
            reel = Reel(map(enlarged, frames), count)
            with part.open("wb") as file:
                reel.save(file, "WEBP", save_all=True, duration=1000 / fps, loop=0, quality=90)
        else:
            write_video(map(even, map(enlarged, frames)), part, kind, fps)


def enlarged(frame: np.ndarray) -> np.ndarray:
    """A frame whose longer side has about SIDE pixels or more, by repeating pixels."""
    factor = max(1, SIDE // max(frame.shape[:2]))
    return frame.repeat(factor, axis=0).repeat(factor, axis=1)


def even(frame: np.ndarray) -> np.ndarray:
    """A frame with an even width and height."""
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), constant_values=255)


def write_gif(frames: Iterator[np.ndarray], path: Path, fps: int) -> None:
    """Writes a GIF; each frame has its own 256 colours, and grey frames keep theirs.

    Pillow's own `save_all` has all frames in memory.  Durations are rounded so that their sum is
    right: at 30 frames a second, 3, 4 and 3 hundredths.
    """
    with path.open("wb") as file:
        first = paletted(next(frames))
        header, _ = GifImagePlugin.getheader(first.copy(), info={"loop": 0})
        file.write(b"".join(header))
        for i, image in enumerate(itertools.chain([first], map(paletted, frames))):
            duration = 10 * (round(100 * (i + 1) / fps) - round(100 * i / fps))
            data = GifImagePlugin.getdata(image, duration=duration, include_color_table=True)
            file.write(b"".join(data))
        file.write(b";")


def paletted(frame: np.ndarray) -> Image.Image:
    """A frame with at most 256 colours, chosen by median cut from some thousand of its pixels."""
    if (frame == frame[..., :1]).all():
        return Image.fromarray(np.ascontiguousarray(frame[..., 0]))
    image = Image.fromarray(frame)
    some = image.resize((64, 64), Image.Resampling.NEAREST)  # median cut of all takes a second
    return image.quantize(palette=some.quantize(256), dither=Image.Dither.NONE)


class Reel(Image.Image):
    """A picture of many frames as Pillow's writers want it, which takes each when it is sought."""

    def __init__(self, frames: Iterator[np.ndarray], count: int) -> None:
        super().__init__()
        self.frames, self.n_frames, self.place = frames, count, -1
        self.seek(0)

    def seek(self, frame: int) -> None:
        """Goes on to the next frame; it is not possible to go back."""
        if frame == self.place + 1:
            image = Image.fromarray(next(self.frames))
            self.im, self._mode, self._size = image.im, image.mode, image.size
            self.place = frame

    def tell(self) -> int:
        return self.place


def write_video(frames: Iterable[np.ndarray], path: Path, kind: str, fps: int) -> None:
    """Writes an MP4 or a WebM of frames with even sizes."""
    import av

    codec, options = CODECS[kind]
    with av.open(str(path), "w", format=kind) as container:
        stream: Any = None
        for frame in frames:
            if stream is None:
                stream = container.add_stream(codec, rate=fps, options=options)
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
