"""Folder: images as they are, converted only when asked, refused with a sentence otherwise."""

import gc
import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageColor, ImageOps

from ganlab.data import Folder, folder, listing
from ganlab.errors import DataError
from ganlab.spec import ImageSpec
from ganlab.storage.conversion import Conversion


def pixels(seed=0, size=(8, 8), channels=3):
    """Noise (H, W) or (H, W, 3): unlike itself transposed or with its channels exchanged."""
    shape = (size[1], size[0], channels) if channels > 1 else (size[1], size[0])
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def picture(seed=0, size=(8, 8), mode="RGB"):
    return Image.fromarray(pixels(seed, size, 1 if mode == "L" else 3)).convert(mode)


def write(path, image=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    (picture() if image is None else image).save(path, **options)
    return path


def as_tensor(image):
    """uint8 (C, H, W), pixel by pixel."""
    array = np.array(image)
    return torch.from_numpy(array[None] if array.ndim == 2 else array.transpose(2, 0, 1).copy())


def refusal(folder):
    """The message of `check`, which `spec` and `read` repeat; for the first image's faults."""
    messages = set()
    for call in (folder.check, lambda: folder.spec, folder.read):
        with pytest.raises(DataError) as error:
            call()
        messages.add(str(error.value))
    (message,) = messages
    return message


def late_refusal(folder):
    """The message of `read` where the first image is good, so that `check` passes."""
    folder.check()
    with pytest.raises(DataError) as error:
        folder.read()
    return str(error.value)


def one_broken(path, reason, n=2):
    return f"data: 1 of {n} images cannot be used:\n  '{path}': {reason}"


# What is read -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".bmp", ".tif", ".tiff", ".ppm", ".webp"])
def test_lossless_images_are_read_pixel_by_pixel(tmp_path, suffix):
    options = {"lossless": True} if suffix == ".webp" else {}
    for i in range(3):
        write(tmp_path / f"{i}{suffix}", picture(i), **options)
    images, labels = Folder(tmp_path).read()
    assert (images.shape, images.dtype) == ((3, 3, 8, 8), torch.uint8)
    for i in range(3):
        assert torch.equal(images[i], as_tensor(picture(i)))
        assert not torch.equal(images[i], as_tensor(picture(i)).mT), "transposed would pass"
        assert not torch.equal(images[i], as_tensor(picture(i)).flip(0)), "BGR would pass"
    assert (labels.tolist(), labels.dtype) == ([0, 0, 0], torch.int64)


FLIPS = Image.Transpose
UPRIGHT = {  # EXIF 2.32, 4.6.4.A: what undoes each orientation
    1: None,
    2: FLIPS.FLIP_LEFT_RIGHT,
    3: FLIPS.ROTATE_180,
    4: FLIPS.FLIP_TOP_BOTTOM,
    5: FLIPS.TRANSPOSE,
    6: FLIPS.ROTATE_270,
    7: FLIPS.TRANSVERSE,
    8: FLIPS.ROTATE_90,
}


def orientation(number):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = number
    return exif


@pytest.mark.parametrize(
    ("suffix", "number"), [*((".png", number) for number in UPRIGHT), (".webp", 6), (".tif", 6)]
)
def test_images_are_turned_as_exif_says(tmp_path, suffix, number):
    """Once: Pillow itself turns TIFF."""
    options = {"lossless": True} if suffix == ".webp" else {}
    write(tmp_path / f"a{suffix}", exif=orientation(number), **options)
    turn = UPRIGHT[number]
    want = picture() if turn is None else picture().transpose(turn)
    got = Folder(tmp_path).read().images[0]
    assert torch.equal(got, as_tensor(want))
    assert torch.equal(got, as_tensor(picture())) == (turn is None)


def test_a_photograph_is_turned_as_exif_says(tmp_path):
    """A turned JPEG is as tall as a person sees it, in the spec and in what is refused."""
    smooth = np.linspace(0, 255, 16 * 24, dtype=np.uint8).reshape(16, 24)
    path = write(tmp_path / "a.jpg", Image.fromarray(smooth), quality=95, exif=orientation(6))
    got = Folder(tmp_path, size=16).read().images[0, 0]
    want = torch.from_numpy(smooth[:, 4:20].copy()).rot90(-1)
    assert (got.int() - want.int()).abs().max() < 12
    assert refusal(Folder(tmp_path)).startswith(f"data: '{path}': 16 x 24 pixels, not square")


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_damaged_exif_does_not_matter(tmp_path, suffix):
    options = {"lossless": True} if suffix == ".webp" else {}
    write(tmp_path / f"a{suffix}", exif=b"Exif\0\0garbage-garbage", **options)
    assert torch.equal(Folder(tmp_path).read().images[0], as_tensor(picture()))


@pytest.mark.parametrize(("mode", "suffix"), [("L", ".png"), ("L", ".pgm"), ("1", ".png")])
def test_grey_and_black_and_white_images_have_one_channel(tmp_path, mode, suffix):
    image = picture(mode="L").convert(mode)
    write(tmp_path / f"a{suffix}", image)
    folder = Folder(tmp_path)
    assert str(folder.spec) == "1 x 8 x 8"
    assert torch.equal(folder.read().images[0], as_tensor(image.convert("L")))


@pytest.mark.parametrize("suffix", [".png", ".gif"])
def test_palette_images_are_read_as_the_rgb_that_they_show(tmp_path, suffix):
    image = picture().quantize(16)
    write(tmp_path / f"a{suffix}", image)
    folder = Folder(tmp_path)
    assert folder.spec.channels == 3
    got = folder.read().images[0]
    assert torch.equal(got, as_tensor(image.convert("RGB")))
    assert not torch.equal(got[0], as_tensor(image)[0]), "indices in place of colours would pass"


def test_jpegs_are_close_to_what_was_written(tmp_path):
    smooth = Image.fromarray(np.linspace(0, 255, 256, dtype=np.uint8).reshape(16, 16))
    write(tmp_path / "a.jpg", smooth, quality=95)
    write(tmp_path / "b.jpeg", smooth, quality=95)
    for image in Folder(tmp_path).read().images:
        assert (image.int() - as_tensor(smooth).int()).abs().max() < 12


def test_images_come_sorted_by_path_and_other_files_are_ignored(tmp_path):
    for seed, name in enumerate(["b.png", "a.png", "c/a.png"]):
        write(tmp_path / name, picture(seed))
    (tmp_path / "readme.txt").write_text("not an image")
    (tmp_path / "labels.csv").write_text("a,b")
    folder = Folder(tmp_path)
    assert folder.names == ["a.png", "b.png", "c/a.png"]
    images = folder.read().images
    for image, seed in zip(images, (1, 0, 2), strict=True):
        assert torch.equal(image, as_tensor(picture(seed)))


def test_subfolders_are_classes_in_alphabetical_order(tmp_path):
    for seed, name in enumerate(["dog/2.png", "cat/3.png", "ant/1.png", "cat/1.png"]):
        write(tmp_path / name, picture(seed))
    folder = Folder(tmp_path)
    assert folder.class_names == ["ant", "cat", "dog"]
    assert folder.spec.classes == 3
    images, labels = folder.read()
    assert labels.tolist() == [0, 1, 1, 2]
    assert labels.dtype == torch.int64
    for image, seed in zip(images, (2, 3, 1, 0), strict=True):
        assert torch.equal(image, as_tensor(picture(seed)))


@pytest.mark.parametrize(
    "names",
    [["a.png", "b.png"], ["one/a.png", "one/b.png"], ["a.png", "cat/a.png", "dog/a.png"]],
    ids=["flat", "one-subfolder", "some-at-the-top"],
)
def test_no_classes_unless_every_image_is_in_one_of_several_subfolders(tmp_path, names):
    for name in names:
        write(tmp_path / name)
    folder = Folder(tmp_path)
    assert folder.class_names == []
    assert folder.spec.classes == 0
    assert folder.read().labels.tolist() == [0] * len(names)


@pytest.mark.parametrize(
    ("names", "classes"),
    [(["b.png", "a.png"], []), (["x/b.png", "x/a.png"], []), (["y/a.png", "x/b.png"], ["x", "y"])],
    ids=["flat", "one-folder", "classes"],
)
def test_a_zip_is_read_as_the_folder_that_it_holds(tmp_path, names, classes):
    for seed, name in enumerate(names):
        write(tmp_path / "folder" / name, picture(seed))
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for top in {name.split("/")[0] for name in names if "/" in name}:
            archive.mkdir(top)
        for name in names:
            archive.write(tmp_path / "folder" / name, name)
        archive.writestr("readme.txt", "not an image")
    folder, zipped = Folder(tmp_path / "folder"), Folder(tmp_path / "all.zip")
    assert zipped.names == folder.names == sorted(names)
    assert zipped.class_names == folder.class_names == classes
    assert zipped.spec == folder.spec
    assert torch.equal(zipped.read().images, folder.read().images)
    assert torch.equal(zipped.read().labels, folder.read().labels)


def encoded(image=None):
    """An image's PNG file."""
    file = io.BytesIO()
    (picture() if image is None else image).save(file, "PNG")
    return file.getvalue()


def zipped(path, files, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_zip_is_opened_once(tmp_path, monkeypatch):
    """Its directory may have a million entries: not for each image again."""
    root = zipped(tmp_path / "all.zip", {f"{i}.png": encoded(picture(i)) for i in range(9)})
    opened, constructor = [], zipfile.ZipFile
    monkeypatch.setattr(
        zipfile, "ZipFile", lambda *a, **o: opened.append(a) or constructor(*a, **o)
    )
    folder = Folder(root)
    folder.check()
    folder.prepare()
    for _ in range(2):
        for i, image in enumerate(folder.read().images):
            assert torch.equal(image, as_tensor(picture(i)))
    assert len(opened) == 1


HIDDEN = ["._a.png", "ant/._a.png", "__MACOSX/ant/a.png", ".hidden/x.png", "ant/.x/y.png", ".png"]


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_hidden_files_and_folders_named_like_images_are_no_images(tmp_path, kind):
    """They would be broken images, and their folders classes; a hidden root is no reason."""
    shown = {"ant/a.png": encoded(picture(0)), "bee/a.png": encoded(picture(1))}
    directory = "cat/x.png"
    if kind == "zip":
        root = zipped(tmp_path / ".all.zip", {**shown, **dict.fromkeys(HIDDEN, b"Mac OS X")})
        with zipfile.ZipFile(root, "a") as archive:
            archive.writestr(f"{directory}/", b"")
    else:
        root = tmp_path / ".all"
        (root / directory).mkdir(parents=True)
        for name, content in {**shown, **dict.fromkeys(HIDDEN, b"Mac OS X")}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
    folder = Folder(root)
    assert folder.names == list(shown)
    assert folder.class_names == ["ant", "bee"]
    images, labels = folder.read()
    assert labels.tolist() == [0, 1]
    for seed, image in enumerate(images):
        assert torch.equal(image, as_tensor(picture(seed)))


def open_files():
    gc.collect()
    return len(list(Path("/dev/fd").iterdir()))


def test_no_files_stay_open(tmp_path):
    for i in range(5):
        write(tmp_path / "all" / f"{i}.png", picture(i), exif=orientation(1 + i))
    root = zipped(tmp_path / "all.zip", {"a.png": encoded()})
    before = open_files()
    folder = Folder(tmp_path / "all")
    folder.check()
    folder.read()
    assert open_files() == before
    (tmp_path / "all" / "broken.png").write_bytes(encoded()[:100])
    late_refusal(Folder(tmp_path / "all"))
    archive = Folder(root)
    archive.read()
    assert open_files() == before + 1, "the zip itself"
    del archive
    assert open_files() == before


def test_many_images_keep_their_places(tmp_path):
    """Decoded by several threads at once."""
    for i in range(150):
        write(tmp_path / f"{i:03}.png", Image.new("L", (4, 4), i))
    assert Folder(tmp_path).read().images[:, 0, 0, 0].tolist() == list(range(150))


# What is changed when asked to --------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, 8, 16])
def test_images_of_any_size_are_cropped_to_the_centre_and_resized(tmp_path, size):
    write(tmp_path / "a.png", picture(0, (12, 8)))
    write(tmp_path / "b.png", picture(1, (8, 12)))
    write(tmp_path / "c.png", picture(2, (size, size)))
    folder = Folder(tmp_path, size=size)
    assert str(folder.spec) == f"3 x {size} x {size}"
    images = folder.read().images
    assert torch.equal(images[2], as_tensor(picture(2, (size, size)))), "the right size was changed"
    for i, wide in enumerate([(12, 8), (8, 12)]):
        want = ImageOps.fit(picture(i, wide), (size, size), Image.Resampling.LANCZOS)
        assert torch.equal(images[i], as_tensor(want))
        squeezed = picture(i, wide).resize((size, size), Image.Resampling.LANCZOS)
        assert not torch.equal(images[i], as_tensor(squeezed)), "a squeezed image would pass"


def test_the_crop_is_the_centre(tmp_path):
    """12 x 8 pixels at size 8: columns 2 to 9, bit for bit."""
    write(tmp_path / "a.png", picture(0, (12, 8)))
    got = Folder(tmp_path, size=8).read().images[0]
    whole = as_tensor(picture(0, (12, 8)))
    assert torch.equal(got, whole[:, :, 2:10])
    assert not torch.equal(got, whole[:, :, :8])


def test_colours_become_grey_by_luminance(tmp_path):
    write(tmp_path / "a.png")
    write(tmp_path / "b.png", picture(1, mode="L"))
    folder = Folder(tmp_path, channels=1)
    assert str(folder.spec) == "1 x 8 x 8"
    images = folder.read().images
    rgb = pixels().astype(np.float64)
    luminance = rgb @ [0.299, 0.587, 0.114]  # ITU-R 601-2
    assert np.abs(images[0, 0].numpy() - luminance).max() <= 1
    assert np.abs(luminance - rgb.mean(axis=2)).max() > 10, "a plain mean would pass"
    assert torch.equal(images[1], as_tensor(picture(1, mode="L")))


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
def test_anything_becomes_rgb_when_asked_to(tmp_path, mode):
    image = picture().convert(mode)
    write(tmp_path / "a.tif", image)
    write(tmp_path / "b.tif")
    folder = Folder(tmp_path, channels=3)
    assert str(folder.spec) == "3 x 8 x 8"
    got = folder.read().images
    assert torch.equal(got[0], as_tensor(image.convert("RGB")))
    assert torch.equal(got[1], as_tensor(picture()))
    if mode in "L1":
        assert (got[0] == got[0, :1]).all()


def test_transparency_is_dropped_when_asked_to(tmp_path):
    image = picture().convert("RGBA")
    image.putalpha(100)
    write(tmp_path / "a.png", image)
    assert torch.equal(Folder(tmp_path, channels=3).read().images[0], as_tensor(picture()))


SEE_THROUGH = {
    "one": 3,  # the colour of this number
    "some": bytes([0, 255, 100] + [255] * 13),  # the alpha of each colour
}


def transparent(path, kind):
    return write(path, picture().quantize(16), transparency=SEE_THROUGH[kind])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["one", "some"])
def test_a_palettes_transparency_is_dropped_when_asked_to(tmp_path, kind, channels):
    transparent(tmp_path / "a.png", kind)
    got = Folder(tmp_path, channels=channels).read().images[0]
    want = picture().quantize(16).convert("L" if channels == 1 else "RGB")
    assert torch.equal(got, as_tensor(want))


def see_through(mode="RGBA", seed=0):
    """The left half is half transparent, the rest opaque."""
    image = picture(seed).convert("RGBA")
    alpha = Image.new("L", image.size, 255)
    alpha.paste(100, (0, 0, 4, 8))
    image.putalpha(alpha)
    if mode == "PA":
        palette = picture(seed).quantize(16).convert("PA")
        palette.putalpha(alpha)
        return palette
    return image.convert(mode)


def test_four_channels_keep_transparency(tmp_path):
    write(tmp_path / "a.png", see_through())
    write(tmp_path / "b.png", picture(1))
    transparent(tmp_path / "c.png", "some")
    write(tmp_path / "d.png", see_through("LA"))
    folder = Folder(tmp_path, channels=4)
    assert str(folder.spec) == "4 x 8 x 8"
    images = folder.read().images
    assert torch.equal(images[0], as_tensor(see_through()))
    assert torch.equal(images[1, :3], as_tensor(picture(1)))
    assert (images[1, 3] == 255).all()
    assert torch.equal(images[3], as_tensor(see_through("LA").convert("RGBA")))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("colour", ["white", "#336699"])
def test_transparent_images_are_laid_on_a_colour(tmp_path, mode, colour):
    """Grey images stay grey on white, and not on blue."""
    write(tmp_path / "a.png", see_through(mode))
    write(tmp_path / "b.png", picture(1).convert(mode[:-1] if mode == "RGBA" else "L"))
    folder = Folder(tmp_path, background=colour)
    assert folder.spec.channels == (1 if mode == "LA" and colour == "white" else 3)
    got, alpha = folder.read().images[0].double(), 100 / 255
    behind = torch.tensor(ImageColor.getrgb(colour))[: len(got), None, None]
    front = as_tensor(see_through(mode).convert("L" if len(got) == 1 else "RGB")).double()
    assert (got[:, :, :4] - (alpha * front + (1 - alpha) * behind)[:, :, :4]).abs().max() <= 1
    assert torch.equal(got[:, :, 4:], front[:, :, 4:])


def test_transparency_that_shows_nothing_is_no_reason_to_ask(tmp_path):
    image = picture().convert("RGBA")
    write(tmp_path / "a.png", image)
    assert torch.equal(Folder(tmp_path).read().images[0], as_tensor(picture()))


@pytest.mark.parametrize(
    ("mode", "name"), [("CMYK", "a.tif"), ("YCbCr", "a.tif"), ("RGB", "a.png")]
)
def test_other_ways_to_say_colours_are_rgb(tmp_path, mode, name):
    write(tmp_path / name, picture().convert(mode))
    got = Folder(tmp_path).read().images[0]
    assert (got.int() - as_tensor(picture()).int()).abs().max() < 6


def test_grey_images_among_colours_become_rgb_and_it_is_said(tmp_path, capsys):
    write(tmp_path / "a.png", picture(0, mode="L"))
    write(tmp_path / "b.png", picture(1))
    write(tmp_path / "c.png", picture(2).convert("1"))
    folder = Folder(tmp_path)
    assert folder.spec.channels == 3
    images = folder.read().images
    assert torch.equal(images[0], as_tensor(picture(0, mode="L")).expand(3, 8, 8))
    assert torch.equal(images[1], as_tensor(picture(1)))
    assert capsys.readouterr().out == "data: 2 of 3 images were grey and became RGB\n"
    Folder(tmp_path, channels=3).read()
    assert capsys.readouterr().out == ""


def sixteen(path, channels):
    """Noise of 16 bits, written by hand where Pillow does not write it; its upper 8 bits."""
    values = np.random.default_rng(0).integers(0, 2**16, (8, 8, channels), dtype=np.uint16)
    if path.suffix == ".png":
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
        kind = {1: 0, 3: 2}[channels]
        path.write_bytes(png(struct.pack(">IIBBBBB", 8, 8, 16, kind, 0, 0, 0), rows))
    elif path.suffix in (".ppm", ".pgm"):
        head = f"P{5 if channels == 1 else 6} 8 8 65535 ".encode()
        path.write_bytes(head + values.astype(">u2").tobytes())
    else:
        Image.fromarray(values[..., 0]).save(path)
    return torch.from_numpy((values >> 8).astype(np.uint8)).permute(2, 0, 1)


@pytest.mark.parametrize(
    ("name", "channels"), [("a.png", 1), ("a.png", 3), ("a.tif", 1), ("a.pgm", 1)]
)
def test_16_bits_are_reduced_to_8_and_it_is_said(tmp_path, capsys, name, channels):
    want = sixteen(tmp_path / name, channels)
    folder = Folder(tmp_path)
    assert folder.spec.channels == channels
    assert torch.equal(folder.read().images[0], want)
    said = "data: 1 of 1 images had 16 bits per channel and were reduced to 8\n"
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("background", [None, "#102030"])
def test_images_are_padded_or_squeezed_when_asked_to(tmp_path, background):
    write(tmp_path / "a.png", picture(0, (16, 8)))
    padded = Folder(tmp_path, size=16, fit="pad", background=background).read().images[0]
    assert torch.equal(padded[:, 4:12], as_tensor(picture(0, (16, 8))))
    behind = torch.tensor(ImageColor.getrgb(background or "black"), dtype=torch.uint8)
    for edge in (padded[:, :4], padded[:, 12:]):
        assert (edge == behind[:, None, None]).all()
    squeezed = Folder(tmp_path, size=8, fit="squeeze").read().images[0]
    want = picture(0, (16, 8)).resize((8, 8), Image.Resampling.LANCZOS)
    assert torch.equal(squeezed, as_tensor(want))


def test_padding_is_transparent_where_transparency_is_kept(tmp_path):
    write(tmp_path / "a.png", picture(0, (16, 8)))
    images = Folder(tmp_path, size=16, fit="pad", channels=4).read().images
    assert (images[0, 3, :4] == 0).all()
    assert (images[0, 3, 4:12] == 255).all()


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nowhere", "nothing.zip"])
def test_a_root_that_is_missing_is_refused(tmp_path, name):
    root = tmp_path / name
    assert refusal(Folder(root)) == f"data.root: there is no folder, zip or tar '{root}'"


SUFFIXES = ", ".join(sorted(listing.SUFFIXES))


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_text("")
    assert refusal(Folder(tmp_path)) == f"data.root: no images ({SUFFIXES}) in '{tmp_path}'"


def test_a_zip_without_images_is_refused(tmp_path):
    root = tmp_path / "a.zip"
    zipfile.ZipFile(root, "w").close()
    assert refusal(Folder(root)) == f"data.root: no images ({SUFFIXES}) in '{root}'"


def cut_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", bytes(100))
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.png", write),
        ("a.txt", lambda path: path.write_text("hello")),
        ("a.zip", lambda path: path.write_bytes(b"")),
        ("a.zip", cut_zip),
    ],
    ids=["image", "text", "empty-zip", "cut-zip"],
)
def test_a_root_that_is_neither_folder_nor_zip_is_refused(tmp_path, name, make):
    make(root := tmp_path / name)
    sentence = f"data.root: '{root}' is no zip: File is not a zip file"
    assert refusal(Folder(root)) == sentence


def png(head, rows):
    """A PNG file with this header, of these rows."""

    def chunk(kind, content):
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def text(path):
    path.write_text("hello")


def nothing(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [text, nothing])
def test_files_that_are_no_images_are_refused_first_or_later(tmp_path, damage):
    reason = "not an image, or damaged"
    damage(tmp_path / "b.png")
    assert refusal(Folder(tmp_path)) == f"data: '{tmp_path / 'b.png'}': {reason}"
    write(tmp_path / "a.png")
    assert late_refusal(Folder(tmp_path)) == one_broken(tmp_path / "b.png", reason)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".gif", ".tif", ".webp", ".ppm"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.9])
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of TIFF's truncated directory
def test_a_truncated_image_is_refused(tmp_path, suffix, kept):
    """Also where its header is good and only decoding finds out: no black rows stand in."""
    write(tmp_path / f"a{suffix}", picture(size=(64, 64)))
    path = write(tmp_path / f"b{suffix}", picture(size=(64, 64)))
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    message = late_refusal(Folder(tmp_path))
    assert message.startswith(one_broken(path, ""))
    assert len(message.splitlines()) == 2


def test_broken_images_inside_a_zip_are_named(tmp_path):
    good, root = io.BytesIO(), tmp_path / "all.zip"
    picture().save(good, "PNG")
    with zipfile.ZipFile(root, "w") as archive:
        archive.writestr("x/a.png", good.getvalue())
        archive.writestr("x/b.png", b"hello")
    want = one_broken(root / "x" / "b.png", "not an image, or damaged")
    assert late_refusal(Folder(root)) == want


def changed(path, at, value):
    """Writes one byte."""
    data = bytearray(path.read_bytes())
    data[at] = value
    path.write_bytes(data)


def content_of_b(path):
    """Where in a zip the content of its last member begins."""
    with zipfile.ZipFile(path) as archive:
        return archive.getinfo("x/b.png").header_offset + 30 + len("x/b.png")


def entry_of_b(path):
    """Where in a zip the directory's entry of its last member begins."""
    return path.read_bytes().rindex(b"PK\1\2")


def wrong_crc(path):
    changed(path, entry_of_b(path) + 16, path.read_bytes()[entry_of_b(path) + 16] ^ 1)


def wrong_content(path):
    changed(path, content_of_b(path), 7)  # a block of type 3, which deflate does not have


def encrypted(path):
    changed(path, entry_of_b(path) + 8, 1)


def unknown_method(path):
    changed(path, entry_of_b(path) + 10, 99)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (wrong_crc, "Bad CRC-32 for file 'x/b.png'"),
        (wrong_content, "Error -3 while decompressing data: invalid block type"),
        (encrypted, "File 'x/b.png' is encrypted, password required for extraction"),
        (unknown_method, "That compression method is not supported"),
    ],
)
def test_damaged_and_encrypted_members_of_a_zip_are_named(tmp_path, damage, reason):
    first = zipped(tmp_path / "1.zip", {"x/b.png": encoded()}, zipfile.ZIP_DEFLATED)
    damage(first)
    message = refusal(Folder(first))
    assert message.startswith(f"data: '{first / 'x' / 'b.png'}': {reason}")
    files = {"x/a.png": encoded(), "x/b.png": encoded()}
    later = zipped(tmp_path / "2.zip", files, zipfile.ZIP_DEFLATED)
    damage(later)
    message = late_refusal(Folder(later))
    assert message.startswith(one_broken(later / "x" / "b.png", reason))
    assert len(message.splitlines()) == 2


def future_version(path):
    changed(path, entry_of_b(path) + 6, 200)


def name_that_is_no_text(path):
    changed(path, entry_of_b(path) + 9, 8)  # the flag: the name is UTF-8
    changed(path, entry_of_b(path) + 46, 255)


@pytest.mark.parametrize("damage", [future_version, name_that_is_no_text])
def test_a_zip_whose_directory_is_damaged_is_refused(tmp_path, damage):
    damage(root := zipped(tmp_path / "a.zip", {"x/b.png": encoded()}))
    assert refusal(Folder(root)).startswith(f"data.root: '{root}' is no zip: ")


def bomb(size):
    """A PNG of a few bytes that claims to have size x size pixels."""
    return png(struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0), bytes(100))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # its bound is near
@pytest.mark.parametrize("pixels", [10_001, 60_000])
@pytest.mark.parametrize("options", [{}, {"size": 8, "channels": 3}], ids=["as-is", "converted"])
def test_decompression_bombs_are_refused(tmp_path, options, pixels):
    """By their headers: nothing of them is decoded."""
    (path := tmp_path / "b.png").write_bytes(bomb(pixels))
    reason = "more than 100 million pixels"
    assert refusal(Folder(tmp_path, **options)) == f"data: '{path}': {reason}"
    write(tmp_path / "a.png")
    assert late_refusal(Folder(tmp_path, **options)) == one_broken(path, reason)


def test_images_of_another_size_are_refused(tmp_path):
    write(tmp_path / "a.png")
    write(tmp_path / "b.png", picture(size=(10, 10)))
    reason = "10 x 10 pixels, expected 8 x 8; set data.size to resize all images"
    assert late_refusal(Folder(tmp_path)) == one_broken(tmp_path / "b.png", reason)


def test_what_to_write_for_images_that_are_not_square_is_said(tmp_path):
    path = write(tmp_path / "a.png", picture(size=(178, 218)))
    assert refusal(Folder(tmp_path)) == (
        f"data: '{path}': 178 x 218 pixels, not square; "
        "set data.size=128 data.fit=pad (or crop, or squeeze)"
    )
    assert Folder(tmp_path, size=128, fit="pad").read().images.shape == (1, 3, 128, 128)


def test_colours_that_turn_up_late_are_refused(tmp_path, monkeypatch):
    """The headers of some images have said that all are grey."""
    monkeypatch.setattr(folder, "LOOKED_AT", 1)
    write(tmp_path / "a.png", picture(mode="L"))
    path = write(tmp_path / "b.png")
    reason = "mode RGB, but those looked at first are grey; set data.channels=3 or 1 to convert all"
    assert late_refusal(Folder(tmp_path)) == one_broken(path, reason)
    assert Folder(tmp_path, channels=3).read().images.shape == (2, 3, 8, 8)


TRANSPARENT = (
    "transparent; set data.background=white (or another colour) to lay it on, "
    "data.channels=4 to keep transparency, or data.channels=3 to drop it"
)


@pytest.mark.parametrize("kind", SEE_THROUGH)
def test_a_palette_with_transparency_is_refused(tmp_path, kind):
    """What lies behind is nobody's to choose."""
    path = transparent(tmp_path / "b.png", kind)
    assert refusal(Folder(tmp_path)) == f"data: '{path}': {TRANSPARENT}"
    write(tmp_path / "a.png", picture().quantize(16))
    assert late_refusal(Folder(tmp_path)) == one_broken(path, TRANSPARENT)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_is_refused_where_something_shows_through(tmp_path, mode):
    suffix = "tif" if mode == "PA" else "png"
    if mode != "PA":  # Pillow writes no file of this mode
        path = write(tmp_path / f"a.{suffix}", see_through(mode))
        assert refusal(Folder(tmp_path)) == f"data: '{path}': {TRANSPARENT}"
    image, spec = see_through(mode), ImageSpec(3, 8)
    with pytest.raises(ValueError, match=r"^transparent; "):
        Conversion().pixels(image, spec)
    assert Conversion(channels=3).pixels(see_through(mode), spec)[1] == []


@pytest.mark.parametrize("channels", [None, 1, 3])
def test_32_bits_are_refused_whatever_was_asked_for(tmp_path, channels):
    """Nobody knows what their range is."""
    path = write(tmp_path / "a.tif", Image.fromarray(np.full((8, 8), 40000, np.float32)))
    assert refusal(Folder(tmp_path, channels=channels)) == (
        f"data: '{path}': mode F (32 bits); save it with 8 bits per channel"
    )


@pytest.mark.parametrize("broken", [2, 5, 6, 9])
def test_all_broken_images_are_counted_and_the_first_five_named(tmp_path, broken):
    write(tmp_path / "a.png")
    for i in range(broken):
        text(tmp_path / f"b{i}.png")
    lines = late_refusal(Folder(tmp_path)).splitlines()
    assert lines[0] == f"data: {broken} of {broken + 1} images cannot be used:"
    named = [f"  '{tmp_path / f'b{i}.png'}': not an image, or damaged" for i in range(broken)]
    assert lines[1:6] == named[:5]
    assert lines[6:] == ([f"  ... and {broken - 5} more"] if broken > 5 else [])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"size": 3}, "size must be at least 4, got 3"),
        ({"channels": 2}, "channels must be 1, 3 or 4, got 2"),
        ({"channels": 0}, "channels must be 1, 3 or 4, got 0"),
        ({"fit": "pad"}, "fit=pad needs a size, as size=64"),
        ({"fit": "bend"}, "fit must be one of crop, pad, squeeze; got 'bend'"),
        ({"split": "dev"}, "split must be one of train, val, test, all; got 'dev'"),
        ({"background": "whit"}, "background must be a colour as white or #ffffff, got 'whit'"),
        ({"background": "#fff8"}, "background must be a colour as white or #ffffff, got '#fff8'"),
        (
            {"background": "red", "channels": 4},
            "background: channels=4 keeps transparency; set one of them",
        ),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, options, sentence):
    with pytest.raises(ValueError) as error:
        Folder(tmp_path, **options)
    assert str(error.value) == sentence


def test_nothing_is_written_to_the_folder(tmp_path):
    write(tmp_path / "a.png")
    folder = Folder(tmp_path)
    folder.check()
    folder.prepare()
    folder.read()
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
