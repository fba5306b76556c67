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
from PIL import ExifTags, Image, ImageOps

from ganlab.data import Folder
from ganlab.errors import DataError


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
    assert refusal(Folder(tmp_path)).startswith(f"data: '{path}': 16 x 24 pixels, expected 16 x 16")


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
    assert folder.classes == ["ant", "cat", "dog"]
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
    assert folder.classes == []
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
    assert zipped.classes == folder.classes == classes
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
    assert folder.classes == ["ant", "bee"]
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


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nowhere", "nothing.zip"])
def test_a_root_that_is_missing_is_refused(tmp_path, name):
    root = tmp_path / name
    assert refusal(Folder(root)) == f"data.root: there is no folder or zip '{root}'"


SUFFIXES = ".bmp, .gif, .jpeg, .jpg, .pgm, .png, .ppm, .tif, .tiff, .webp"


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
    sentence = f"data.root: '{root}' is neither a folder nor a zip: File is not a zip file"
    assert refusal(Folder(root)) == sentence


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
    assert refusal(Folder(root)).startswith(f"data.root: '{root}' is neither a folder nor a zip: ")


def bomb(size):
    """A PNG of a few bytes that claims to have size x size pixels."""

    def chunk(kind, content):
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("options", [{}, {"size": 8, "channels": 3}], ids=["as-is", "converted"])
def test_decompression_bombs_are_refused(tmp_path, options):
    (path := tmp_path / "b.png").write_bytes(bomb(60_000))
    reason = "Image size (3600000000 pixels) exceeds limit of "
    assert refusal(Folder(tmp_path, **options)).startswith(f"data: '{path}': {reason}")
    write(tmp_path / "a.png")
    assert late_refusal(Folder(tmp_path, **options)).startswith(one_broken(path, reason))


def test_images_of_another_size_are_refused(tmp_path):
    write(tmp_path / "a.png")
    write(tmp_path / "b.png", picture(size=(10, 8)))
    reason = "10 x 8 pixels, expected 8 x 8; set data.size to resize all images"
    assert late_refusal(Folder(tmp_path)) == one_broken(tmp_path / "b.png", reason)


def test_images_that_are_not_square_are_refused(tmp_path):
    write(tmp_path / "a.png", picture(size=(8, 6)))
    assert refusal(Folder(tmp_path)) == (
        f"data: '{tmp_path / 'a.png'}': 8 x 6 pixels, expected 8 x 8; "
        "set data.size to resize all images"
    )


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [("RGB", "L", "RGB"), ("L", "RGB", "grey"), ("L", "P", "grey"), ("RGB", "RGBA", "RGB")],
)
def test_images_of_another_mode_than_the_first_are_refused(tmp_path, first, second, wanted):
    """In a mixture nobody can know which was meant."""
    write(tmp_path / "a.png", picture(mode=first))
    write(tmp_path / "b.png", picture().convert(second))
    reason = f"mode {second}, expected {wanted}; set data.channels=1 or 3 to convert"
    assert late_refusal(Folder(tmp_path)) == one_broken(tmp_path / "b.png", reason)


@pytest.mark.parametrize(
    ("mode", "name"), [("RGBA", "a.png"), ("LA", "a.png"), ("CMYK", "a.jpg"), ("YCbCr", "a.tif")]
)
def test_modes_that_are_neither_grey_nor_rgb_are_refused(tmp_path, mode, name):
    path = write(tmp_path / name, picture().convert(mode))
    assert refusal(Folder(tmp_path)) == (
        f"data: '{path}': mode {mode}, expected grey or RGB; set data.channels=1 or 3 to convert"
    )


@pytest.mark.parametrize("kind", SEE_THROUGH)
def test_a_palette_with_transparency_is_refused(tmp_path, kind):
    """As mode RGBA is: what lies behind is nobody's to choose."""
    reason = "mode P with transparency, expected RGB; set data.channels=1 or 3 to convert"
    path = transparent(tmp_path / "b.png", kind)
    assert refusal(Folder(tmp_path)) == f"data: '{path}': {reason}"
    write(tmp_path / "a.png", picture().quantize(16))
    assert late_refusal(Folder(tmp_path)) == one_broken(path, reason)


@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize(("dtype", "mode"), [(np.uint16, "I;16"), (np.float32, "F")])
def test_more_than_8_bits_are_refused_whatever_was_asked_for(tmp_path, dtype, mode, channels):
    """Pillow would clip them to white without a word."""
    path = write(tmp_path / "a.tif", Image.fromarray(np.full((8, 8), 40000, dtype)))
    assert refusal(Folder(tmp_path, channels=channels)) == (
        f"data: '{path}': mode {mode} (16 or 32 bits); save it with 8 bits per channel"
    )


def test_16_bit_grey_png_is_refused(tmp_path):
    path = write(tmp_path / "a.png", Image.fromarray(np.full((8, 8), 40000, np.uint16)))
    assert "(16 or 32 bits); save it with 8 bits per channel" in refusal(Folder(tmp_path))
    assert f"'{path}'" in refusal(Folder(tmp_path))


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
        ({"channels": 2}, "channels must be 1 or 3, got 2"),
        ({"channels": 0}, "channels must be 1 or 3, got 0"),
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
