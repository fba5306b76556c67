"""A run's folder: its name is its science, what is in it, and that it is never overwritten."""

import functools
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from PIL import Image

import ganlab
from commands import (
    completed,
    composed,
    composer,
    rows,
    run_sample,
    run_train,
    runs_in,
    smoke,
    summary,
    trained,
)
from conftest import same, weights
from ganlab.commands.composition import without_hydra
from ganlab.commands.sampling import walks
from ganlab.errors import ConfigError
from ganlab.plots import pictures
from ganlab.runs.folder import Run, differences, folder_name, identity, runs_below, unused
from ganlab.sample import sample
from ganlab.sampling.paths import interpolation, spherical
from ganlab.training.streams import Stream, stream

SIX = ("iterations=6", "sample_every=2", "checkpoint_every=2")
# Least squares with rates as these explode within a few iterations, after the first checkpoint.
EXPLODES = [
    *("loss=least_squares", "optim@g_optimizer=sgd", "optim@d_optimizer=sgd", "g_optimizer.lr=1.0"),
    *("d_optimizer.lr=1.0", "iterations=40", "checkpoint_every=1", "sample_every=50"),
]


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """When each file was written, and what it holds."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file): (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A finished run of six iterations that no test changes."""
    return trained(tmp_path_factory.mktemp("finished"), *SIX)


# Identity ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "overrides",
    [
        ["output_dir=elsewhere"],
        ["logger=[csv,tensorboard]"],
        ["resume=never"],
        ["log_every=7", "sample_every=7", "checkpoint_every=7"],
        ["trainer=cpu"],
        ["trainer=gpu"],
        ["trainer=ddp"],
        ["+trainer.benchmark=true"],
    ],
    ids=lambda overrides: overrides[0],
)
def test_where_and_how_a_run_runs_is_not_its_identity(overrides):
    assert identity(completed(*overrides)) == identity(completed())


@pytest.mark.parametrize(
    "override",
    [
        *("seed=1", "d_steps=2", "batch_size=32", "iterations=10", "ema=null", "g_clip=1.0"),
        *("g_accumulate=2", "loss=hinge", "model=vanilla", "model.generator.width=24"),
        *("g_optimizer.lr=0.1", "d_optimizer.lr=0.1", "g_optimizer.weight_decay=0.1"),
        *("schedule@g_schedule=linear", "latent.dim=64", "data.size=32", "data=mnist"),
        *("regularizer=weight_clip", "trainer.precision=bf16-mixed"),
    ],
)
def test_all_that_changes_the_result_changes_the_identity(override):
    assert identity(completed(override)) != identity(completed())


def test_a_named_data_set_is_the_same_wherever_it_lies():
    mnist = completed("data=mnist")
    assert identity(mnist) == identity(completed("data=mnist", "data.root=/there"))
    assert identity(mnist) == identity(completed("data=mnist", "data.download=false"))
    assert identity(mnist) != identity(completed("data=mnist", "+data.split=test"))


def test_a_folder_of_images_is_what_its_path_says():
    one, other = (completed("data=folder", f"data.root={name}") for name in ("one", "other"))
    assert identity(one) != identity(other)


def test_the_same_pictures_are_the_same_run_however_their_path_is_spelt(tmp_path, monkeypatch):
    def write(folder, name, value):
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.new("L", (8, 8), value).save(tmp_path / folder / name)

    write("im", "a.png", 0)
    monkeypatch.chdir(tmp_path)

    def of(root):  # without the cache of tests: files change here
        return identity(composed.__wrapped__("data=folder", f"data.root={root}"))

    (one,) = {of(root) for root in ("im", "im/", "./im", tmp_path / "im")}
    write("moved", "a.png", 0)
    assert of("moved") == one
    write("im", "b.png", 1)
    assert of("im") != one
    write("moved", "c.png", 1)
    assert of("moved") != of("im")


@pytest.mark.long
def test_another_run_of_the_same_path_is_not_gone_on_with_where_files_have_changed(tmp_path):
    root = tmp_path / "im"
    for i in range(8):
        root.mkdir(exist_ok=True)
        Image.new("L", (16, 16), i).save(root / f"{i}.png")
    words = ["data=folder", f"data.root={root}"]
    first = trained(tmp_path / "out", *words)
    assert run_train(*smoke(tmp_path / "out", *words)).out.startswith("finished already")
    (root / "7.png").unlink()
    outcome = run_train(*smoke(tmp_path / "out", *words, f"resume={first}"))
    assert outcome.code == 2
    assert "data.fingerprint: " in outcome.err
    assert run_train(*smoke(tmp_path / "out", *words)).code == 0
    assert len(runs_in(tmp_path / "out")) == 2


def test_saying_a_default_aloud_is_the_same_science():
    assert identity(completed("g_optimizer.weight_decay=0")) == identity(completed())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("g_clip=1", "g_clip=1.0"),
        ("g_optimizer.lr=1", "g_optimizer.lr=1.0"),
        ("g_optimizer.betas=[0,0.9]", "g_optimizer.betas=[0.0,0.9]"),
    ],
)
def test_an_int_where_a_float_is_meant_is_the_same_science(one, other):
    assert identity(completed(one)) == identity(completed(other)) != identity(completed())


def test_differences_name_each_scientific_key_and_nothing_else():
    mine, theirs = completed("seed=1", "output_dir=a"), completed("output_dir=b", "d_steps=2")
    found = differences(mine, theirs)
    assert sorted(found) == ["  d_steps: 2 there, 1 here", "  seed: 0 there, 1 here"]


# The folder -------------------------------------------------------------------------------------


def test_a_run_folder_has_what_is_documented_and_no_more(finished):
    names = {file.relative_to(finished).as_posix() for file in finished.rglob("*")}
    grids = {f"samples/iteration-{i:07d}.png" for i in (0, 2, 4, 6)}
    checkpoints = {f"checkpoints/iteration-{i:07d}.ckpt" for i in (4, 6)}
    files = {
        "config.yaml",
        "metrics.csv",
        "summary.json",
        "environment.json",
        "curves.png",
        ".lock",
    }
    assert names == grids | checkpoints | files | {"samples", "checkpoints", "samples/samples.gif"}
    assert finished.parent.name == "digits-dcgan-nonsaturating"


def test_the_saved_config_is_complete_and_the_folders_name_is_its_hash(finished):
    saved = yaml.safe_load((finished / "config.yaml").read_text())
    output_dir = finished.parents[1]
    assert saved == completed(*smoke(output_dir, *SIX))
    assert saved["g_optimizer"]["eps"] == 1e-8
    assert identity(saved) == finished.name
    assert Run(finished).config() == saved


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "digits-dcgan-nonsaturating"),
        (
            ["loss=hinge", "regularizer=[r1]", "model.discriminator.norm=layer"],
            "digits-dcgan-hinge-r1",
        ),
        (["loss._target_=ganlab.losses.LeastSquares"], "digits-dcgan-least_squares"),
        (["loss._target_=ganlab.losses.NonSaturating"], "digits-dcgan-nonsaturating"),
        (
            ["augment._target_=ganlab.augment.InstanceNoise"],
            "digits-dcgan-nonsaturating-instance_noise",
        ),
        (
            ["model.discriminator._target_=ganlab.networks.SNDCGANDiscriminator"],
            "digits-sndcgan_discriminator-nonsaturating",
        ),
        (
            ["regularizer=[r1]", "regularizer.r1._target_=ganlab.regularizers.R2"],
            "digits-dcgan-nonsaturating-r2",
        ),
    ],
)
def test_a_folder_is_named_after_what_runs(overrides, name):
    """A class that replaces the choice's own gives its name, so no folder claims another loss."""
    cfg, found = composer().compose(overrides)
    assert found == []
    config = OmegaConf.to_container(without_hydra(cfg), resolve=True)
    assert folder_name(cfg.hydra.runtime.choices, config) == name


def test_a_data_set_of_yours_is_where_its_path_says():
    """What can be downloaded is the same anywhere; what cannot is what its path says."""
    config = completed()
    here, there = ({**config, "data": {"_target_": "mine.X", "root": r}} for r in ("a", "b"))
    assert identity(here) != identity(there)
    for one in (here, there):
        one["data"]["download"] = True
    assert identity(here) == identity(there)


def test_the_folder_of_a_run_with_regularizers_names_them(tmp_path):
    run = trained(tmp_path, "regularizer=[weight_clip]")
    assert run.parent.name == "digits-dcgan-nonsaturating-weight_clip"


def test_checkpoints_hold_tensors_and_plain_data_only(finished):
    newest = Run(finished).last_checkpoint()
    checkpoint = torch.load(newest, weights_only=True)
    assert newest.name == "iteration-0000006.ckpt"
    assert (checkpoint["iterations"], checkpoint["images_seen"]) == (6, 48)


def test_the_summary_says_how_the_run_ended_and_its_last_readings(finished):
    last = rows(finished)[-1]
    written = summary(finished)
    assert (written["status"], written["iterations"], written["images_seen"]) == ("finished", 6, 48)
    assert written["last"]["loss/g"] == float(last["loss/g"])
    assert written["seconds"] == float(last["seconds"])


def test_the_metrics_have_one_row_per_reading_against_three_axes(finished):
    table = rows(finished)
    assert [int(row["iterations"]) for row in table] == [1, 2, 3, 4, 5, 6]
    assert [int(row["images_seen"]) for row in table] == [8, 16, 24, 32, 40, 48]
    seconds = [float(row["seconds"]) for row in table]
    assert seconds == sorted(seconds)
    names = {"loss/d", "loss/g", "grad_norm/d", "grad_norm/g", "D(x)", "D(G(z))"}
    assert names < table[0].keys()
    assert all(float(row[name]) == float(row[name]) for row in table for name in names)


def test_the_environment_says_what_would_be_needed_to_repeat_the_run(finished):
    written = json.loads((finished / "environment.json").read_text())
    assert written["libraries"]["torch"] == torch.__version__.partition("+")[0]
    assert written["libraries"]["ganlab"] == ganlab.__version__
    assert written["command"][1:] == smoke(finished.parents[1], *SIX)


def test_the_grids_are_of_fixed_noise_and_the_gif_shows_each(finished):
    grids = sorted((finished / "samples").glob("*.png"))
    assert len({grid.read_bytes() for grid in grids}) == len(grids)
    with Image.open(finished / "samples" / "samples.gif") as gif:
        assert gif.n_frames == len(grids)
    expected = pictures.grid(ganlab.load(finished).sample(64))
    assert (pixels(grids[-1]) == expected).all()


def pixels(path: Path) -> torch.Tensor:
    """uint8 (H, W, C), or (H, W) of a grey picture."""
    import numpy as np

    with Image.open(path) as picture:
        return torch.from_numpy(np.array(picture))


# Starting again ---------------------------------------------------------------------------------


def test_a_finished_run_is_left_alone_and_said_to_be_finished(finished):
    before = contents(finished)
    outcome = run_train(*smoke(finished.parents[1], *SIX))
    assert outcome == (0, f"finished already: {finished}\n", "")
    assert contents(finished) == before


@pytest.mark.long
def test_resume_never_makes_another_folder_and_leaves_the_first_alone(tmp_path):
    first = trained(tmp_path)
    before = contents(first)
    for i in (2, 3):
        assert run_train(*smoke(tmp_path, "resume=never")).code == 0
        another = first.with_name(f"{first.name}-{i}")
        assert summary(another)["status"] == "finished"
    assert contents(first) == before
    assert len(runs_in(tmp_path)) == 3


def test_unused_names_the_first_free_folder(tmp_path):
    assert unused(tmp_path / "a") == tmp_path / "a"
    for name in ("a", "a-2", "a-4"):
        (tmp_path / name).mkdir()
    assert unused(tmp_path / "a") == tmp_path / "a-3"


def test_a_run_can_be_resumed_by_its_folder_from_another_output_dir(tmp_path):
    run = trained(tmp_path / "a")
    outcome = run_train(*smoke(tmp_path / "b", f"resume={run}"))
    assert outcome == (0, f"finished already: {run}\n", "")
    assert runs_in(tmp_path / "b") == []


def test_runs_are_found_in_a_folder_and_at_any_depth_below_it(tmp_path):
    """A config.yaml alone is no run: Hydra and W&B write files of this name, too."""
    paths = [tmp_path / name for name in ("outputs/a/1", "outputs/a/2", "outputs/c/3", "again/4")]
    for path in paths:
        (path / "checkpoints").mkdir(parents=True)
        (path / "wandb" / "run-1" / "files").mkdir(parents=True)
        for folder in (path, path / "wandb" / "run-1" / "files"):
            (folder / "config.yaml").touch()
    (tmp_path / "outputs" / "config.yaml").touch()
    assert [run.path for run in runs_below(tmp_path)] == [paths[3], *paths[:3]]
    assert [run.path for run in runs_below(tmp_path / "outputs" / "a")] == paths[:2]
    assert [run.path for run in runs_below(paths[2])] == [paths[2]]
    for nothing in (tmp_path / "outputs" / "a" / "1" / "wandb", tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match=f"there is no run in or below '{nothing}'"):
            runs_below(nothing)


def test_a_failed_run_says_why_once_and_keeps_a_good_checkpoint(tmp_path):
    outcome = run_train(*smoke(tmp_path, *EXPLODES))
    assert outcome.code == 1
    assert outcome.out.count("training failed: ") == 1
    assert outcome.err == ""
    (run,) = runs_in(tmp_path)
    assert summary(run)["status"] == "failed"
    state = torch.load(Run(run).last_checkpoint(), weights_only=True)["state_dict"]
    assert all(torch.isfinite(t).all() for t in state.values() if t.is_floating_point())
    assert all(int(row["iterations"]) < summary(run)["iterations"] for row in rows(run))


@pytest.mark.long
def test_a_failed_job_of_a_sweep_does_not_stop_the_others(tmp_path):
    outcome = run_train("-m", *smoke(tmp_path, *EXPLODES, "iterations=20", "d_optimizer.lr=1,1e-3"))
    assert outcome.code == 1
    assert outcome.out.count("training failed: ") == 1
    assert sorted(summary(run)["status"] for run in runs_in(tmp_path)) == ["failed", "finished"]


# From a run to images ---------------------------------------------------------------------------


def test_load_gives_what_sample_writes(finished, tmp_path):
    """`ganlab.load(run).sample(4, seed=0)` are the single images, pixel by pixel."""
    written = sample(str(finished), n=4, singles=True, output=str(tmp_path / "out"))
    grid, singles = written
    files = sorted(singles.iterdir())
    images = ganlab.load(finished).sample(4, seed=0)
    assert [file.name for file in files] == [f"{i:05d}.png" for i in range(4)]
    for file, image in zip(files, pictures.to_pixels(images), strict=True):
        assert (pixels(file).numpy() == image.squeeze()).all()
    assert (pixels(grid).numpy() == pictures.grid(images)).all()


@pytest.mark.parametrize(("n", "columns", "shape"), [(4, None, (2, 2)), (6, 3, (2, 3))])
def test_a_grid_has_the_rows_and_columns_asked_for(finished, tmp_path, n, columns, shape):
    (grid,) = sample(str(finished), n=n, columns=columns, output=str(tmp_path))
    tile, gap = 16 * round(56 / 16), 2
    height, width = (count * (tile + gap) + gap for count in shape)
    assert pixels(grid).shape == (height, width, 3)


def test_other_seeds_give_other_images_in_other_files(finished, tmp_path):
    a, b = (sample(str(finished), n=1, seed=seed, output=str(tmp_path))[0] for seed in (0, 1))
    assert a != b
    assert a.read_bytes() != b.read_bytes()


@pytest.mark.parametrize("way", [spherical, torch.lerp])
def test_an_interpolation_begins_and_ends_at_the_latent_points(way):
    start, end = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(0))
    path = interpolation(start, end, 5, way).view(3, 5, 50)
    torch.testing.assert_close(path[:, 0], start, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(path[:, -1], end, rtol=1e-5, atol=1e-5)
    middle = path[:, 2].norm(dim=1)
    typical = (start.norm(dim=1) + end.norm(dim=1)) / 2
    on_sphere = way is spherical
    assert ((middle > 0.9 * typical) == on_sphere).all(), "only a line leaves the sphere"


def test_interpolations_are_a_grid_with_a_row_for_each_pair(finished, tmp_path):
    _, walk = sample(str(finished), n=1, interpolate=2, steps=5, output=str(tmp_path))
    assert pixels(walk).shape == (2 * 66 + 2, 5 * 66 + 2, 3)


def test_the_sample_command_prints_what_it_wrote(finished, tmp_path):
    outcome = run_sample(f"run={finished}", "n=2", "singles=true", f"output={tmp_path}")
    stem = tmp_path / "iteration-0000006-seed-0-n-2"
    assert outcome == (0, f"{stem}.png\n{stem}\n", "")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["n=0"], "n must be at least 1, got 0"),
        (["seed=-1"], "seed must be at least 0, got -1"),
        (["interpolate=1", "steps=1"], "steps must be at least 2, got 1"),
        (["run=nowhere"], "'nowhere' is no run: it has no config.yaml"),
        (["colums=3"], "colums: unknown; did you mean 'columns'?"),
    ],
)
def test_a_wrong_sample_command_is_refused_in_one_sentence(finished, tmp_path, words, sentence):
    output = tmp_path / "out"
    outcome = run_sample(f"run={finished}", f"output={output}", *words)
    assert outcome == (2, "", f"ganlab: 1 mistake, nothing was started\n  {sentence}\n")
    assert not output.exists()


def test_a_run_that_names_foreign_code_is_built_only_if_it_is_trusted(
    finished, tmp_path, monkeypatch
):
    """A folder from a stranger may name any function of any installed package."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "foreign_loss.py").write_text(
        "from pathlib import Path\nfrom ganlab.losses import NonSaturating\n"
        f"class Mine(NonSaturating):\n"
        f"    def __init__(self):\n        super().__init__()\n"
        f"        Path({str(tmp_path / 'ran')!r}).touch()\n"
    )
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    saved = yaml.safe_load((run / "config.yaml").read_text())
    saved["loss"] = {"_target_": "foreign_loss.Mine"}
    (run / "config.yaml").write_text(yaml.safe_dump(saved))
    with pytest.raises(ConfigError, match=r"the run's config names foreign_loss\.Mine; set trust"):
        ganlab.load(run)
    assert not (tmp_path / "ran").exists()
    assert ganlab.load(run, trust=True).sample(1).shape == (1, 1, 16, 16)
    assert (tmp_path / "ran").exists()


def test_a_run_without_a_checkpoint_cannot_be_sampled(finished, tmp_path):
    (tmp_path / "config.yaml").write_bytes((finished / "config.yaml").read_bytes())
    outcome = run_sample(f"run={tmp_path}")
    sentence = f"'{tmp_path}' has no checkpoint"
    assert outcome == (2, "", f"ganlab: 1 mistake, nothing was started\n  {sentence}\n")


# Codes ------------------------------------------------------------------------------------------

SHEETS = {  # conditioning -> pictures of what each code does, and their columns
    "none": {},
    "concat": {"classes": 10},
    "acgan": {"classes": 10},
    "projection": {"classes": 10},
    "infogan": {"categories": 10, "code-1": 10, "code-2": 10},
}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A finished run of six iterations for each conditioning, made when first asked for."""

    @functools.cache
    def run(conditioning: str) -> Path:
        folder = tmp_path_factory.mktemp(conditioning)
        return trained(folder, *SIX, f"conditioning={conditioning}")

    return run


@pytest.mark.long
@pytest.mark.parametrize("conditioning", SHEETS)
def test_a_run_draws_a_sheet_of_each_code_at_each_interval(told, conditioning):
    """8 rows of 10 images, 64 pixels each with 2 between; one picture for each frame."""
    samples = told(conditioning) / "samples"
    names = SHEETS[conditioning]
    assert {folder.name for folder in samples.iterdir() if folder.is_dir()} == set(names)
    assert {file.stem for file in samples.glob("*.gif")} == {"samples", *names}
    frames = [f"iteration-{i:07d}.png" for i in (0, 2, 4, 6)]
    for name, columns in names.items():
        assert sorted(file.name for file in (samples / name).iterdir()) == frames
        for frame in frames:
            assert pixels(samples / name / frame).shape == (8 * 66 + 2, columns * 66 + 2, 3)
        assert len({(samples / name / frame).read_bytes() for frame in frames}) == len(frames)
        with Image.open(samples / f"{name}.gif") as gif:
            assert (gif.n_frames, gif.size) == (4, (columns * 66 + 2, 8 * 66 + 2))


def test_a_sheet_shows_one_noise_in_a_row_and_one_class_in_a_column(told):
    """Tile (r, c) is G at the noise of row r and class c; rows are not taken for columns."""
    run = told("concat")
    gan, sheet = ganlab.load(run), pixels(run / "samples" / "classes" / "iteration-0000006.png")
    noise, codes = gan.latent.sample(8, stream("cpu", 0, Stream.SAMPLE)), torch.eye(10)
    by_row = [torch.cat([noise[r], codes[c]]) for r in range(8) for c in range(10)]
    by_column = [torch.cat([noise[r], codes[c]]) for c in range(10) for r in range(8)]
    right, wrong = (
        pictures.grid(gan.generate(torch.stack(latents)), columns=10)
        for latents in (by_row, by_column)
    )
    assert (sheet.numpy() == right).all()
    assert not (sheet.numpy() == wrong).all()


@pytest.mark.long
@pytest.mark.parametrize("conditioning", ["none", "concat", "infogan"])
def test_drawing_does_not_disturb_training(tmp_path, conditioning):
    """The same weights bit for bit whether drawn at each iteration or only at the end."""
    often, seldom = (
        weights(ganlab.load(trained(tmp_path / n, f"conditioning={conditioning}", *words)))
        for n, words in (("often", ["sample_every=1"]), ("seldom", ["sample_every=3"]))
    )
    assert same(often, seldom)


def test_samples_of_chosen_classes_go_through_them_in_turn(told, tmp_path):
    run = told("concat")
    outcome = run_sample(f"run={run}", "n=5", "labels=[3,5]", f"output={tmp_path}")
    file = tmp_path / "iteration-0000006-seed-0-labels-3-5-n-5.png"
    assert outcome == (0, f"{file}\n", "")
    gan = ganlab.load(run)
    drawn = {
        labels: pictures.grid(gan.sample(5, labels=torch.tensor(labels)))
        for labels in [(3, 5, 3, 5, 3), (5, 3, 5, 3, 5), (0, 1, 2, 3, 4)]
    }
    same_as = [labels for labels, grid in drawn.items() if (pixels(file).numpy() == grid).all()]
    assert same_as == [(3, 5, 3, 5, 3)]


@pytest.mark.parametrize("conditioning", SHEETS)
def test_the_sample_command_draws_the_sheets_that_training_draws(told, tmp_path, conditioning):
    run = told(conditioning)
    outcome = run_sample(f"run={run}", "n=1", "sheets=true", f"output={tmp_path}")
    stem = "iteration-0000006-seed-0"
    files = [tmp_path / f"{stem}-{name}.png" for name in ("n-1", *SHEETS[conditioning])]
    assert outcome == (0, "".join(f"{file}\n" for file in files), "")
    assert sorted(tmp_path.iterdir()) == sorted(files)
    for name in SHEETS[conditioning]:
        last = run / "samples" / name / "iteration-0000006.png"
        assert (tmp_path / f"{stem}-{name}.png").read_bytes() == last.read_bytes()


def great_circle(start: torch.Tensor, end: torch.Tensor, steps: int) -> torch.Tensor:
    """(steps, dim) between two vectors, in float64 and one by one."""
    a, b = start.double(), end.double()
    angle = torch.acos(a @ b / (a.norm() * b.norm()))
    shares = [i / (steps - 1) for i in range(steps)]
    rows = [torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b for t in shares]
    return torch.stack(rows) / torch.sin(angle)


@pytest.mark.parametrize(
    ("conditioning", "labels"),
    [("none", None), ("concat", None), ("concat", [3, 5]), ("infogan", None)],
)
def test_along_a_row_of_an_interpolation_the_noise_moves_and_the_code_stays(
    told, conditioning, labels
):
    gan = ganlab.load(told(conditioning))
    given = torch.tensor(labels) if labels else None
    z = walks(gan, 2, 5, seed=1, labels=given)
    ends = gan.fixed_latents(4, 1, given.repeat(2) if labels else None)
    dim, rows_of = gan.latent.dim, z.view(2, 5, -1)
    for r, row in enumerate(rows_of):
        path = great_circle(ends[r, :dim], ends[r + 2, :dim], 5)
        torch.testing.assert_close(row[:, :dim].double(), path, rtol=1e-4, atol=1e-5)
        assert torch.equal(row[:, dim:], ends[r, dim:].expand(5, -1))
    if labels:
        assert gan.code_in(rows_of[:, 0]).argmax(dim=1).tolist() == labels
    if conditioning == "infogan":
        assert not torch.equal(gan.code_in(ends[:2]), gan.code_in(ends[2:])), "nothing could move"


def test_an_interpolation_of_chosen_classes_is_the_picture_of_its_walks(told, tmp_path):
    run = told("concat")
    options = ["interpolate=2", "steps=5", "labels=[3,5]", f"output={tmp_path}"]
    outcome = run_sample(f"run={run}", "n=2", *options)
    stem = "iteration-0000006-seed-0-labels-3-5"
    names = [f"{stem}-n-2.png", f"{stem}-interpolate-2x5.png"]
    assert outcome == (0, "".join(f"{tmp_path / name}\n" for name in names), "")
    gan = ganlab.load(run)
    along = gan.generate(walks(gan, 2, 5, 0, torch.tensor([3, 5])))
    assert (pixels(tmp_path / names[1]).numpy() == pictures.grid(along, 5)).all()


@pytest.mark.parametrize("conditioning", ["none", "infogan"])
def test_classes_are_refused_where_g_is_told_none(told, tmp_path, conditioning):
    words = [f"run={told(conditioning)}", "labels=[3]", f"output={tmp_path / 'out'}"]
    sentence = "labels: the generator of this run has no classes"
    outcome = run_sample(*words)
    assert outcome == (2, "", f"ganlab: 1 mistake, nothing was started\n  {sentence}\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("label", [10, -1])
def test_a_class_that_is_not_there_is_refused(told, tmp_path, label):
    words = [f"run={told('concat')}", "n=3", f"labels=[3,{label}]", f"output={tmp_path / 'out'}"]
    outcome = run_sample(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("ganlab: 1 mistake, nothing was started\n  labels must be ")
    assert "labels must be one or more of 0 to 9, got [3, " in outcome.err
