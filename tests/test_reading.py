"""Folders read by several processes, and kept: the same images, whoever decoded them, and when."""

import contextlib
import itertools
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from types import SimpleNamespace

import numpy as np
import PIL
import pytest
import torch
from PIL import Image

from commands import run_train, runs_in, smoke
from ganlab.data import Folder, ImageData, module, workers
from ganlab.data import folder as folder_module
from ganlab.data.module import ReadingAhead
from ganlab.errors import DataError
from ganlab.spec import ImageSpec
from ganlab.storage import archive, decoding
from ganlab.storage.checkpoint import listed, read
from ganlab.storage.conversion import Conversion
from ganlab.storage.decoding import Decoder, archive_at

SPEC = ImageSpec(3, 8)
N = 40


@pytest.fixture(autouse=True)
def _kept_and_shared(tmp_path, monkeypatch):
    """As if each image took a second, on a machine with two processors and an empty cache."""
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(workers, "seconds", lambda _, names, __: float(len(names)))
    monkeypatch.setattr(workers, "STEP", 3.0)
    monkeypatch.setattr(workers, "processors", lambda: 2)


def picture(seed, size=(8, 8), mode="RGB"):
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def images_below(root, n=N, **options):
    """PNGs and JPEGs in two classes."""
    for i in range(n):
        path = root / "ab"[i % 2] / f"{i:03}.{'jpg' if i % 3 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(i, **options).save(path, compress_level=0)  # PNGs of one length
    return root


def zipped(path, root):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*.*")):
            archive.write(file, file.relative_to(root))
    return path


def alone(root, **options):
    """What one process decodes, image by image."""
    folder = Folder(root, **options)
    decoder, spec = Decoder(archive_at(root), Conversion(**options)), folder.spec
    found = b"".join(decoder.pixels(name, spec)[0] for name in folder.names)
    return torch.frombuffer(bytearray(found), dtype=torch.uint8).view(-1, *spec.shape)


class Counted:
    """Counts how many images this process and its workers have decoded."""

    def __init__(self, monkeypatch):
        self.images, decoded = 0, workers.decoded

        def counting(decoder, names, *rest):
            self.images += len(names)
            return decoded(decoder, names, *rest)

        monkeypatch.setattr(workers, "decoded", counting)


@pytest.fixture
def counted(monkeypatch):
    return Counted(monkeypatch)


def kept_files(tmp_path):
    return list((tmp_path / "cache" / "images").glob("*.images"))


# The same images ----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"size": 5}, {"channels": 1}, {"size": 5, "channels": 1}])
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_images_are_the_same_decoded_by_others_mapped_or_in_memory(
    tmp_path, counted, monkeypatch, kind, options
):
    root = images_below(tmp_path / "images")
    root = zipped(tmp_path / "images.zip", root) if kind == "zip" else root
    want = alone(root, **options)
    reads = [Folder(root, **options).read() for _ in range(2)]
    assert counted.images == N
    monkeypatch.setenv("GANLAB_CACHE_GB", "0")
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "another"))
    reads.append(Folder(root, **options).read())
    assert counted.images == 2 * N
    for images, labels in reads:
        assert torch.equal(images, want)
        assert labels.tolist() == [0] * (N // 2) + [1] * (N // 2)
        assert labels.dtype == torch.int64


def test_the_second_start_decodes_only_the_first_image(tmp_path, monkeypatch):
    """Of some others it reads the headers."""
    root = images_below(tmp_path / "images", n=100)
    want = Folder(root).read()
    opened, loaded, open_, load = [], [], Image.open, Decoder._loaded
    monkeypatch.setattr(Image, "open", lambda *a, **o: opened.append(a) or open_(*a, **o))
    monkeypatch.setattr(Decoder, "_loaded", lambda self, n: loaded.append(n) or load(self, n))
    monkeypatch.setattr(subprocess, "Popen", None)
    found = Folder(root).read()
    assert len(loaded) == 1
    assert len(opened) <= 1 + folder_module.LOOKED_AT
    assert torch.equal(found.images, want.images)
    assert torch.equal(found.labels, want.labels)


def test_a_run_is_the_same_with_images_decoded_and_mapped(tmp_path, counted):
    root = images_below(tmp_path / "images", size=(16, 16))
    words = ["data=folder", f"data.root={root}", "resume=never"]
    for name in ("first", "second"):
        assert run_train(*smoke(tmp_path / name, *words)).code == 0
    assert counted.images == N
    one, other = (
        read(listed(run / "checkpoints")[-1])["state_dict"]
        for name in ("first", "second")
        for run in runs_in(tmp_path / name)
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_what_takes_no_time_is_neither_shared_nor_kept(tmp_path, monkeypatch):
    root = images_below(tmp_path / "images")
    monkeypatch.setattr(workers, "seconds", lambda *_: 0.4)
    monkeypatch.setattr(workers, "SHARE", 1)
    monkeypatch.setattr(subprocess, "Popen", None)
    assert torch.equal(Folder(root).read().images, alone(root))
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("n", "patience", "sampled"),
    [(1, 99, 1), (16, 99, 16), (17, 99, 9), (1000, 99, 16), (1000, 3, 2)],
)
def test_the_time_is_judged_by_some_images(monkeypatch, n, patience, sampled):
    """Each takes two seconds by this clock, which is not asked more often than that."""
    monkeypatch.undo()
    ticks, seen = itertools.count(0, 2), []
    monkeypatch.setattr(workers, "PATIENCE", patience)
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    decoder = SimpleNamespace(batch=lambda names, _: seen.extend(names))
    assert workers.seconds(decoder, list(range(n)), SPEC) == 2 * n
    assert len(seen) == sampled


# What makes kept images others --------------------------------------------------------------------


def of_another_size(root):
    picture(77).save(root / "a" / "000.png", compress_level=9)


def touched(root):
    os.utime(root / "a" / "002.jpg", (10**9, 10**9))


def changed_in_secret(root):
    """Of the same size, and with the old time of modification."""
    path = root / "b" / "003.png"
    there = path.stat()
    picture(77).save(path, compress_level=0)
    os.utime(path, ns=(there.st_atime_ns, there.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (there.st_size, there.st_mtime_ns)


def added(root):
    picture(99).save(root / "a" / "099.png")


def removed(root):
    (root / "a" / "002.jpg").unlink()


@pytest.mark.parametrize("change", [of_another_size, touched, changed_in_secret, added, removed])
def test_changed_files_are_decoded_anew(tmp_path, counted, change):
    root = images_below(tmp_path / "images")
    Folder(root).read()
    change(root)
    before = counted.images
    assert torch.equal(Folder(root).read().images, alone(root))
    assert counted.images > before
    before = counted.images
    Folder(root).read()
    assert counted.images == before


@pytest.fixture
def _coarse(monkeypatch):
    """As on a file system that notes no more than when content was written."""
    fine = archive.stamp
    monkeypatch.setattr(archive, "stamp", lambda path: (*fine(path)[:2], 0))


@pytest.mark.usefixtures("_coarse")
def test_names_that_are_exchanged_are_noticed(tmp_path):
    """By names alone: sizes and times are the same in the same order."""
    root = images_below(tmp_path / "images")
    Folder(root).read()
    (root / "b" / "001.jpg").rename(root / "b" / "002.jpg")
    folder = Folder(root)
    assert folder.names.index("b/002.jpg") == N // 2
    before = {path.name for path in kept_files(tmp_path)}
    assert torch.equal(folder.read().images, alone(root))
    assert len({path.name for path in kept_files(tmp_path)} - before) == 1


def test_other_files_in_the_folder_do_not_matter(tmp_path, counted):
    root = images_below(tmp_path / "images")
    Folder(root).read()
    (root / "notes.txt").write_text("")
    (root / "a" / ".hidden.png").write_text("")
    Folder(root).read()
    assert counted.images == N


def test_one_object_looks_at_the_files_each_time_that_it_reads(tmp_path):
    root = images_below(tmp_path / "images")
    folder = Folder(root)
    before = folder.read().images
    of_another_size(root)
    assert not torch.equal(folder.read().images, before)
    assert torch.equal(folder.read().images, alone(root))


def test_other_wishes_are_other_images(tmp_path, counted, monkeypatch):
    root = images_below(tmp_path / "images")
    wishes = [{}, {"size": 8}, {"size": 5}, {"channels": 3}, {"channels": 1}]
    for _ in range(2):
        for options in wishes:
            assert torch.equal(Folder(root, **options).read().images, alone(root, **options))
    assert counted.images == len(wishes) * N
    monkeypatch.setattr(PIL, "__version__", "another, which may decode otherwise")
    Folder(root).read()
    assert counted.images == (len(wishes) + 1) * N


@pytest.mark.usefixtures("_coarse")
def test_folders_that_look_alike_are_not_taken_for_each_other(tmp_path):
    """The same names, sizes and times, as an archive may have left them."""
    roots = []
    for seed, name in enumerate(("one", "other")):
        roots.append(tmp_path / name)
        roots[-1].mkdir()
        for i in range(N):
            path = roots[-1] / f"{i:02}.bmp"
            picture(1000 * seed + i).save(path)
            os.utime(path, (0, 0))
    assert all(torch.equal(Folder(root).read().images, alone(root)) for root in roots)


def test_a_link_to_a_folder_is_the_folder(tmp_path, counted):
    root = images_below(tmp_path / "images")
    (tmp_path / "link").symlink_to(root)
    Folder(root).read()
    Folder(tmp_path / "link").read()
    assert counted.images == N


@pytest.mark.parametrize("how", ["content", "time"])
def test_a_changed_zip_is_decoded_anew(tmp_path, counted, how):
    path = zipped(tmp_path / "all.zip", images_below(tmp_path / "images"))
    Folder(path).read()
    if how == "time":
        os.utime(path, (10**9, 10**9))
    else:
        of_another_size(tmp_path / "images")
        zipped(path, tmp_path / "images")
    assert torch.equal(Folder(path).read().images, alone(path))
    assert counted.images == 2 * N


def test_kept_images_that_are_damaged_are_decoded_anew(tmp_path, counted):
    root = images_below(tmp_path / "images")
    Folder(root).read()
    (path,) = kept_files(tmp_path)
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    assert torch.equal(Folder(root).read().images, alone(root))
    assert counted.images == 2 * N
    Folder(root).read()
    assert counted.images == 2 * N


# Where nothing can be kept ------------------------------------------------------------------------


def test_a_cache_that_cannot_be_written_is_said_and_the_images_are_read(
    tmp_path, monkeypatch, capsys
):
    root = images_below(tmp_path / "images")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "file"))
    assert torch.equal(Folder(root).read().images, alone(root))
    said = capsys.readouterr().out
    assert said.startswith("decoded images are not cached: ")
    assert said.endswith(f"Not a directory: '{tmp_path / 'file' / 'images'}'\n")
    assert len(said.splitlines()) == 1


def test_broken_images_are_named_in_order_and_nothing_is_kept(tmp_path):
    root = images_below(tmp_path / "images")
    for i in (39, 7, 8, 20, 21, 30, 31):
        (path,) = root.glob(f"*/{i:03}.*")
        path.write_text("hello")
    (root / "b" / "001.jpg").unlink()
    (root / "b" / "001.jpg").symlink_to(root / "b")
    with pytest.raises(DataError) as error:
        Folder(root).read()
    names = ["a/008.jpg", "a/020.jpg", "a/030.png", "b/007.jpg", "b/021.png"]
    lines = [f"  '{root / name}': not an image, or damaged" for name in names]
    assert str(error.value).splitlines() == [
        f"data: 7 of {N - 1} images cannot be used:",
        *lines,
        "  ... and 2 more",
    ]
    assert kept_files(tmp_path) == []


# By several processes -----------------------------------------------------------------------------


class Noted(workers.Worker):
    """Remembers all workers, and how many images each has decoded."""

    made = ()

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.images = 0
        Noted.made = (*Noted.made, self)

    def ask(self, start, names):
        self.images += len(names)
        super().ask(start, names)


@pytest.fixture
def noted(monkeypatch):
    monkeypatch.setattr(workers, "Worker", Noted)
    monkeypatch.setattr(Noted, "made", ())
    return Noted


def test_several_processes_decode_and_this_one_does_not(tmp_path, noted, monkeypatch):
    root = images_below(tmp_path / "images")
    want = alone(root)
    monkeypatch.setattr(Decoder, "batch", None)
    assert torch.equal(Folder(root).read().images, want)
    one, other = noted.made
    assert one.process.pid != other.process.pid
    assert one.images + other.images == N
    assert min(one.images, other.images) >= 3
    assert [worker.process.poll() is None for worker in noted.made] == [False, False]


@pytest.mark.parametrize(("work", "wanted"), [(0.5, 2), (0.51, 3), (100, 7)])
def test_a_process_has_to_be_worth_it(tmp_path, noted, monkeypatch, work, wanted):
    root = images_below(tmp_path / "images")
    monkeypatch.setattr(workers, "processors", lambda: 7)
    batches = workers.decoded(
        Decoder(archive_at(root), Conversion()), Folder(root).names, SPEC, work
    )
    assert sum(len(part.decoded.pixels) for part in batches) == N * math.prod(SPEC.shape)
    assert len(noted.made) == wanted


def test_a_process_that_decodes_imports_neither_torch_nor_numpy():
    code = "import ganlab.storage.decoding, sys; print('ganlab.spec' in sys.modules, *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    there, *names = done.stdout.split()
    assert there == "True"
    assert {"torch", "numpy"} & set(names) == set()


SCRIPT = """
import sys
from pathlib import Path
print("started")
from ganlab.data import Folder, workers
workers.seconds = lambda _, names, __: float(len(names))
workers.processors = lambda: 2
made, Worker = [], workers.Worker
workers.Worker = lambda *arguments: made.append(Worker(*arguments)) or made[-1]
print(int(Folder(Path(sys.argv[1])).read().images.sum()), len(made))
"""


@pytest.mark.long
def test_a_script_needs_no_guard(tmp_path):
    """It is not run again by the processes that it has started; nor is what lies beside it."""
    root = images_below(tmp_path / "images")
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "PIL.py").write_text("raise RuntimeError('not the library')")
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py", root],
        cwd=tmp_path / "here",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["started", f"{int(alone(root).sum())} 2"]


def test_a_process_that_dies_is_said_with_what_it_was_at(tmp_path, noted, monkeypatch):
    root = images_below(tmp_path / "images")
    ask = Noted.ask

    def killed(self, start, names):
        ask(self, start, names)
        if start == 6:
            self.process.kill()
            self.process.wait()

    monkeypatch.setattr(Noted, "ask", killed)
    with pytest.raises(DataError) as error:
        Folder(root).read()
    sentence = (
        r"data: a process that decodes images has ended \(exit code -9\) "
        r"at one of '.*' to '.*', or because memory ran out"
    )
    assert re.fullmatch(sentence, str(error.value))
    assert all(worker.process.poll() is not None for worker in noted.made)
    assert kept_files(tmp_path) == []


def test_a_process_that_cannot_begin_is_said(tmp_path, monkeypatch):
    root = images_below(tmp_path / "images")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(DataError, match=r"has ended \(exit code 1\)"):
        Folder(root).read()


@pytest.mark.parametrize("started", [0, 1])
def test_where_processes_cannot_be_started_others_do_their_work(
    tmp_path, noted, monkeypatch, started
):
    root, start = images_below(tmp_path / "images"), subprocess.Popen

    def popen(*arguments, **options):
        if len(noted.made) == started:
            raise BlockingIOError("no more processes")
        return start(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    assert torch.equal(Folder(root).read().images, alone(root))
    assert len(noted.made) == started


def test_an_interruption_ends_the_processes_and_keeps_nothing(tmp_path, noted, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    root, answer = images_below(tmp_path / "images"), Noted.answer
    monkeypatch.setattr(
        Noted, "answer", lambda self: interrupted() if self.start > 12 else answer(self)
    )
    with pytest.raises(KeyboardInterrupt):
        Folder(root).read()
    assert all(worker.process.poll() is not None for worker in noted.made)
    assert [path.suffix for path in (tmp_path / "cache" / "images").iterdir()] == [".lock"]


@pytest.fixture
def worker(tmp_path):
    root = images_below(tmp_path / "images")
    with workers.Worker(Decoder(archive_at(root), Conversion()), SPEC) as made:
        made.ask(0, ["a/000.png"])
        made.answer()
        yield made


def test_signals_are_for_who_asks(worker):
    """Slurm sends them to all processes of a job; Ctrl-C comes to those of the terminal's group."""
    assert os.getpgid(worker.process.pid) != os.getpgid(0)
    for name in decoding.ENDINGS:
        worker.process.send_signal(getattr(signal, name))
    worker.ask(7, ["a/002.jpg", "a/nowhere.png", "a/000.png"])
    start, (pixels, refused, _) = worker.answer()
    assert (start, len(pixels)) == (7, 3 * 3 * 8 * 8)
    assert pixels[192:384] == bytes(192)
    ((place, why),) = refused
    assert (place, why.startswith("[Errno 2] No such file")) == (1, True)


def test_a_process_ends_with_the_one_that_asks(worker):
    worker.file.close()
    worker.connection.close()
    assert worker.process.wait(timeout=30) == 0


def test_processors_are_those_that_this_process_may_use(tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    files = {"/proc/self/cgroup": "0::/job\n", "/sys/fs/cgroup/job/cpu.max": "max 100000\n"}
    monkeypatch.setattr(
        workers, "Path", lambda path: SimpleNamespace(read_text=lambda: files[path])
    )
    assert workers.processors() == 3
    for quota, count in (("150000 100000", 2), ("100000 100000", 1), ("900000 100000", 3)):
        files["/sys/fs/cgroup/job/cpu.max"] = quota
        assert workers.processors() == count
    files["/proc/self/cgroup"] = "12:cpu,cpuacct:/job\n"
    assert workers.processors() == 3


# What is said -------------------------------------------------------------------------------------


def test_all_images_are_counted_on_a_bar(tmp_path, monkeypatch):
    said, counts = [], []

    @contextlib.contextmanager
    def noting(*words):
        said.append(words)
        yield counts.append

    monkeypatch.setattr(folder_module, "watched", noting)
    Folder(images_below(tmp_path / "images", n=1000)).read()
    assert said == [("reading 1,000 images", 1000)]
    assert sum(counts) == 1000
    assert max(counts) == 3


def test_a_long_time_is_said_and_a_short_one_not(tmp_path, monkeypatch, capsys):
    root = images_below(tmp_path / "images")
    Folder(root).read()
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(folder_module, "LONG", 0.0)
    Folder(root, channels=1).read()
    assert re.fullmatch(r"read 40 images in \d+ s\n", capsys.readouterr().out)
    Folder(root, channels=1).read()
    assert capsys.readouterr().out == ""


# Minibatches --------------------------------------------------------------------------------------


def orders(root, device, monkeypatch, *, large):
    data = ImageData(Folder(root), batch_size=4, minibatches=2, iterations=3)
    data.setup()
    data.trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device(device)))
    monkeypatch.setattr(module, "fits", lambda _, device: device.type != "cpu")
    monkeypatch.setattr(module, "outgrows_memory", lambda size: large and size == N * 192)
    return data.train_dataloader().orders


def test_images_are_read_ahead_where_memory_cannot_hold_them(tmp_path, monkeypatch):
    """Not those that live on the device, nor those that stay in memory once they are verified."""
    root = images_below(tmp_path / "images")
    (ahead,) = orders(root, "cpu", monkeypatch, large=True)
    (plain,) = orders(root, "cpu", monkeypatch, large=False)
    (moved,) = orders(root, "meta", monkeypatch, large=True)
    assert [isinstance(order, ReadingAhead) for order in (ahead, plain, moved)] == [
        True,
        False,
        False,
    ]
    for iteration in range(3):
        assert torch.equal(ahead(iteration), plain(iteration))


def test_many_starts_at_once_decode_once(tmp_path, counted):
    root, found = images_below(tmp_path / "images"), []
    threads = [threading.Thread(target=lambda: found.append(Folder(root).read())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted.images == N
    assert len(found) == 4
    assert all(torch.equal(images, alone(root)) for images, _ in found)
