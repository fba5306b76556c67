"""curves.png: the numbers of metrics.csv, all of them, in colours that keep their meaning."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from commands import run_train, runs_in, smoke, stop_after
from conftest import fit, small_gan
from ganlab import losses
from ganlab.callbacks import Curves, Journal
from ganlab.callbacks.curves import is_probability
from ganlab.gan import GAN
from ganlab.loggers import MetricsFile
from ganlab.plots.figures import PLAYERS, D, G, arranged, curves, heading, read, to_pixels

AXES = {"iterations": 10, "images_seen": 640, "seconds": 0.5}
WORDS = [
    *("regularizer=[r1]", "model.discriminator.norm=none", "iterations=4", "log_every=2"),
    "health=none",
]
READING = {"loss/d": 1.25, "loss/g": 0.5, "D(x)": 0.75, "D(G(z))": 0.25, "images_per_second": 9.0}


def written(path, *rows):
    """metrics.csv with these rows, read back."""
    (path / "metrics.csv").unlink(missing_ok=True)
    file = MetricsFile(path / "metrics.csv")
    for row in rows:
        file.log_metrics(row)
    return read(path / "metrics.csv")


def lines(figure):
    """Name -> its line."""
    return {line.get_label(): line for axes in figure.axes for line in axes.get_lines()}


def points(figure):
    """Name -> the (x, y) of its line."""
    return {
        name: list(zip(line.get_xdata(), line.get_ydata(), strict=True))
        for name, line in lines(figure).items()
    }


def column(path, name):
    """The (iteration, value) of a column of metrics.csv where it has one."""
    with (path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [(float(row["iterations"]), float(row[name])) for row in rows if row[name]]


def picture(path):
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image)


@pytest.fixture(scope="module", autouse=True)
def _quick():
    """Here curves are drawn."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a real run with a penalty."""
    folder = tmp_path_factory.mktemp("curves")
    outcome = run_train(*smoke(folder, *WORDS))
    assert (outcome.code, outcome.err) == (0, "")
    return runs_in(folder)[0]


# The figure -------------------------------------------------------------------------------------


def test_the_panels_hold_the_numbers_of_a_runs_metrics(run):
    figure = curves(read(run / "metrics.csv"), "a run")
    names = {"loss/d", "loss/g", "penalty/r1", "D(x)", "D(G(z))", "grad_norm/d", "grad_norm/g"}
    assert set(points(figure)) == names
    for name, drawn in points(figure).items():
        assert drawn == column(run, name)
        assert [x for x, _ in drawn] == [2, 4]


def test_columns_meet_in_panels_of_their_kind_from_top_to_bottom():
    given = ["images_seen", "grad_norm/g", "began/k", "D(G(z))", "penalty/r1", "loss/d", "seconds"]
    given += ["iterations", "images_per_second", "D(x)", "began/convergence", "test_error/ema"]
    given += ["frechet/classifier-mnist/10k", "precision/inception/5k", "recall/inception/5k"]
    assert arranged([*given, "fid", "loss/g", "accuracy"]) == {
        "loss": ["penalty/r1", "loss/d", "loss/g"],
        "output of D": ["D(G(z))", "D(x)"],
        "began": ["began/k", "began/convergence"],
        "test error": ["test_error/ema"],
        "Fréchet distance": ["frechet/classifier-mnist/10k", "fid"],
        "neighbours": ["precision/inception/5k", "recall/inception/5k"],
        "accuracy": ["accuracy"],
        "gradient norm": ["grad_norm/g"],
    }
    assert arranged(["iterations", "D(x)"]) == {"output of D": ["D(x)"]}


def test_panels_share_an_axis_of_iterations_and_norms_and_distances_are_logarithmic(tmp_path):
    rows = [AXES | READING | {"grad_norm/d": 3.0, "fid": 7.0, "is": 2.0} for _ in range(2)]
    figure = curves(written(tmp_path, *rows), "a run")
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == ["loss", "output of D", "Fréchet distance", "inception score", "gradient norm"]
    scales = ["linear", "linear", "log", "linear", "log"]
    assert [axes.get_yscale() for axes in figure.axes] == scales
    assert [axes.get_xlabel() for axes in figure.axes] == [""] * 4 + ["iterations"]
    figure.axes[0].set_xlim(3, 5)
    assert {axes.get_xlim() for axes in figure.axes} == {(3, 5)}


def test_each_player_has_one_colour_everywhere_and_nothing_else_has_it(tmp_path):
    more = {"grad_norm/d": 3.0, "grad_norm/g": 2.0, "accuracy/d": 0.5}
    others = {f"penalty/{i}": 1.0 * i for i in range(9)} | {"accuracy/real": 0.5}
    drawn = lines(curves(written(tmp_path, AXES | READING | more | others), "a run"))
    colors = {name: line.get_color() for name, line in drawn.items()}
    assert {n for n, c in colors.items() if c == D} == {"loss/d", "D(x)", "grad_norm/d"} | {
        "accuracy/d"
    }
    assert {n for n, c in colors.items() if c == G} == {"loss/g", "D(G(z))", "grad_norm/g"}
    assert set(PLAYERS.values()) == {D, G}


def test_no_two_lines_of_a_panel_look_the_same(tmp_path):
    others = {f"penalty/{i}": 1.0 * i for i in range(9)} | {"loss/late/d": 1.0}
    top, *_ = curves(written(tmp_path, AXES | READING | others), "a run").axes
    looks = [(line.get_color(), line.get_linestyle()) for line in top.get_lines()]
    assert len(set(looks)) == len(looks) == 12
    assert len({color for color, _ in looks}) < 12, "styles are not needed"


def test_probabilities_have_their_own_scale_and_say_so(tmp_path):
    readings = written(tmp_path, AXES | READING)
    score = curves(readings, "a run", probability=True).axes[1]
    low, high = score.get_ylim()
    assert (low, high) == (-0.03, 1.03)
    assert score.get_ylabel() == "probability of real"
    other = curves(readings, "a run").axes[1]
    assert other.get_ylabel() == "output of D"
    assert other.get_ylim() != (low, high)


@pytest.mark.parametrize(
    ("loss", "bounded"),
    [
        (losses.Minimax(), True),
        (losses.NonSaturating(), True),
        (losses.LeastSquares(), False),
        (losses.Wasserstein(), False),
    ],
)
def test_a_score_is_a_probability_if_it_stays_between_0_and_1(loss, bounded):
    assert is_probability(loss.score) == bounded


def test_the_heading_is_of_the_whole_run_not_of_its_last_reading(tmp_path):
    last = {"iterations": 2500, "images_seen": 160_000, "seconds": 73.6, "images_per_second": 9.0}
    readings = written(tmp_path, AXES, last)
    want = "a run · 2,500 iterations · 74 s · 2,174 images/s"
    assert heading(readings, "a run") == want
    assert curves(readings, "a run").get_suptitle() == want


def test_blank_cells_are_left_out_and_lines_go_on(tmp_path):
    """Some columns begin late, and some are read less often than others."""
    rows = [{"iterations": i, "images_seen": i, "seconds": i, "loss/d": i / 2} for i in range(1, 7)]
    for i in (2, 4):
        rows[i]["test_error/ema"] = i / 10
    figure = curves(written(tmp_path, *rows), "a run")
    assert points(figure)["test_error/ema"] == [(3, 0.2), (5, 0.4)]
    assert points(figure)["loss/d"] == [(i, i / 2) for i in range(1, 7)]
    assert np.ptp(to_pixels(figure)) > 0


def test_one_row_is_points_and_more_are_lines(tmp_path):
    single = curves(written(tmp_path, AXES | READING), "a run")
    assert points(single)["loss/d"] == [(10, 1.25)]
    assert {line.get_marker() for line in lines(single).values()} == {"o"}
    two = curves(written(tmp_path, *[AXES | READING | {"iterations": i} for i in (1, 2)]), "a run")
    assert "o" not in {line.get_marker() for line in lines(two).values()}
    blank = curves(written(tmp_path, AXES), "a run")
    assert (to_pixels(single) != 255).sum() > (to_pixels(blank)[:300] != 255).sum() > 0


@pytest.mark.parametrize("norms", [(0.0, 0.0), (0.0, 1.0), (1e-30, 1e30)])
def test_norms_that_a_logarithm_cannot_show_do_not_end_a_run(tmp_path, norms):
    rows = [AXES | {"iterations": i, "grad_norm/d": norm} for i, norm in enumerate(norms)]
    assert to_pixels(curves(written(tmp_path, *rows), "a run")).std() > 1


def test_nothing_is_nothing(tmp_path):
    assert read(tmp_path / "metrics.csv") == {}
    (tmp_path / "metrics.csv").write_text("iterations,loss/d\n")
    assert read(tmp_path / "metrics.csv") == {}
    assert to_pixels(curves({}, "a run")).dtype == np.uint8


def test_the_pixels_show_the_lines_in_their_colours(tmp_path):
    rows = [AXES | READING | {"iterations": i} for i in (1, 2)]
    pixels = to_pixels(curves(written(tmp_path, *rows), "a run"))
    assert (pixels.dtype, pixels.shape[1:]) == (np.uint8, (1008, 3))
    for color in (D, G):
        rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(pixels.astype(int) - rgb).sum(-1) < 12).sum() > 500
    assert (pixels[0, 0] == 255).all()


def test_drawing_leaves_matplotlibs_global_state_alone():
    """Pyplot would keep each figure of a sweep, and may want a screen."""
    import matplotlib as mpl
    from matplotlib import _pylab_helpers

    before = dict(mpl.rcParams)
    figure = curves({}, "a run")
    to_pixels(figure)
    assert dict(mpl.rcParams) == before
    assert _pylab_helpers.Gcf.figs == {}
    assert figure.canvas.manager is None


# The file ---------------------------------------------------------------------------------------


def test_a_run_leaves_the_picture_of_its_metrics_under_its_name(run):
    readings = read(run / "metrics.csv")
    want = to_pixels(curves(readings, "digits-dcgan-nonsaturating-r1", probability=True))
    assert np.array_equal(picture(run / "curves.png"), want)
    other = {name: (x, y[::-1]) for name, (x, y) in readings.items()}
    assert not np.array_equal(want, to_pixels(curves(other, "a run"))), "any picture would pass"
    assert not list(run.glob(".*.part"))


@pytest.mark.long
def test_a_resumed_run_draws_all_its_parts(tmp_path, monkeypatch):
    """Also the first part, stopped after 3 of 6 iterations, has drawn what it had."""
    step, seen = GAN.g_step, []
    words = smoke(tmp_path, "iterations=6", "checkpoint_every=2", "sample_every=6")

    def dying(gan, minibatch):
        if gan.iterations == 3:
            raise RuntimeError("the machine is gone")
        step(gan, minibatch)

    draw = curves
    monkeypatch.setattr(
        "ganlab.plots.figures.curves", lambda *a, **o: seen.append(draw(*a, **o)) or seen[-1]
    )
    with monkeypatch.context() as patch:
        patch.setattr(GAN, "g_step", dying)
        with pytest.raises(RuntimeError, match="the machine is gone"):
            run_train(*words)
    (folder,) = runs_in(tmp_path)
    before = picture(folder / "curves.png")
    assert run_train(*words).code == 0
    iterations = [[x for x, _ in points(figure)["loss/g"]] for figure in seen]
    assert iterations == [[1, 2, 3], [1, 2, 3, 4, 5, 6]]
    assert points(seen[1])["loss/d"] == column(folder, "loss/d")
    assert not np.array_equal(before, picture(folder / "curves.png"))


def test_an_interrupted_run_has_its_curves(tmp_path, monkeypatch):
    stop_after(1, monkeypatch)
    assert run_train(*smoke(tmp_path)).code == 130
    (folder,) = runs_in(tmp_path)
    assert picture(folder / "curves.png").std() > 1


def test_a_run_that_read_nothing_leaves_no_picture(tmp_path, monkeypatch):
    stop_after(0, monkeypatch)
    assert run_train(*smoke(tmp_path)).code == 130
    (folder,) = runs_in(tmp_path)
    assert not (folder / "curves.png").exists()


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    written(tmp_path, AXES | READING)
    trainer, gan = SimpleNamespace(is_global_zero=True, loggers=[]), small_gan()
    Curves(tmp_path).on_train_end(trainer, gan)
    before = (tmp_path / "curves.png").read_bytes()

    def dies(self, content):
        self.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", dies)
    with pytest.raises(OSError, match="disk full"):
        Curves(tmp_path).on_train_end(trainer, gan)
    assert (tmp_path / "curves.png").read_bytes() == before


@pytest.mark.parametrize(("rank", "drawn"), [(0, True), (1, False)])
def test_only_the_first_rank_draws(tmp_path, rank, drawn):
    written(tmp_path, AXES | READING)
    Curves(tmp_path).draw(SimpleNamespace(is_global_zero=rank == 0, loggers=[]), small_gan())
    assert (tmp_path / "curves.png").exists() == drawn


@pytest.mark.parametrize(
    ("exception", "drawn"), [(RuntimeError(), True), (KeyboardInterrupt(), False)]
)
def test_a_failure_is_drawn_and_impatience_is_not_kept_waiting(tmp_path, exception, drawn):
    written(tmp_path, AXES | READING)
    trainer = SimpleNamespace(is_global_zero=True, loggers=[])
    Curves(tmp_path).on_exception(trainer, small_gan(), exception)
    assert (tmp_path / "curves.png").exists() == drawn


def test_loggers_that_take_pictures_get_the_file(tmp_path):
    class Dashboard(MetricsFile):
        shown: list = []  # noqa: RUF012

        def log_picture(self, name, file, step):
            self.shown.append((name, file, step))

    gan, logger = small_gan(iterations=2), Dashboard(tmp_path / "metrics.csv")
    fit(gan, callbacks=[Journal(1), Curves(tmp_path)], logger=logger)
    assert logger.shown == [("curves", tmp_path / "curves.png", 2)]
    assert picture(tmp_path / "curves.png").ndim == 3


def test_after_a_failure_the_picture_is_of_the_last_reading(tmp_path):
    """Not of the iteration that failed, which no logger has heard of."""
    written(tmp_path, AXES | READING)
    gan, steps = small_gan(), []
    gan.iterations = 11
    logger = SimpleNamespace(log_picture=lambda name, file, step: steps.append(step))
    trainer = SimpleNamespace(is_global_zero=True, loggers=[logger])
    Curves(tmp_path).on_exception(trainer, gan, RuntimeError())
    assert steps == [10]
