"""Budgets in images seen by D: iterations follow from k and m, wherever a config is used."""

import json
from functools import cache

import pytest
import yaml

from commands import completed, composer, run_train, runs_in, smoke
from ganlab.errors import ConfigError
from ganlab.lab.training import planned
from ganlab.runs.folder import identity
from ganlab.sweeps import study
from ganlab.sweeps.study import AGAIN

K, M, ITERATIONS = "d_steps", "batch_size", "iterations"


def of(images: str) -> str:
    return f"iterations=${{images:{images}}}"


@pytest.mark.parametrize("images", ["3000000", "3e6", "3_000_000"])
def test_iterations_follow_from_the_images_and_from_k_and_m(images):
    assert completed(of(images))[ITERATIONS] == 46_875
    assert completed(of(images), "d_steps=5")[ITERATIONS] == 9_375
    assert completed("batch_size=100", "d_steps=2", of(images))[ITERATIONS] == 15_000
    assert completed("batch_size=100", "model=vae", of(images))[ITERATIONS] == 30_000


@pytest.mark.parametrize(("images", "expected"), [("1", 1), ("64", 1), ("65", 2), ("128", 2)])
def test_d_sees_no_fewer_images_than_the_budget(images, expected):
    assert completed(of(images))[ITERATIONS] == expected


def test_a_number_of_iterations_still_wins():
    assert completed("experiment=znxlwm/wgan", "iterations=600")[ITERATIONS] == 600
    assert completed("experiment=znxlwm/wgan", "trainer=smoke")[ITERATIONS] == 3


def test_the_number_is_what_the_identity_is_made_of():
    by_images, by_number = completed(of("64000")), completed("iterations=1000")
    assert by_images == by_number
    assert identity(by_images) == identity(by_number)
    assert identity(completed(of("64000"), "d_steps=2")) != identity(completed("d_steps=2"))
    assert planned([of("64000"), "d_steps=2", "logger=csv"]).config[ITERATIONS] == 500


@pytest.mark.long
def test_a_run_saves_the_number(tmp_path):
    words = [*smoke(tmp_path), of("32"), "d_steps=2"]  # of 8 images each
    assert run_train(*words).code == 0
    (run,) = runs_in(tmp_path)
    assert yaml.safe_load((run / "config.yaml").read_text())[ITERATIONS] == 2
    assert json.loads((run / "summary.json").read_text())[ITERATIONS] == 2
    assert run_train(*words, "-m").out.count("finished already") == 1


def test_the_config_is_shown_with_the_number():
    shown = run_train("experiment=znxlwm/wgan", "--cfg", "job")
    assert (shown.code, shown.err) == (0, "")
    assert yaml.safe_load(shown.out)[ITERATIONS] == 9_375
    assert yaml.safe_load(run_train("--cfg", "job", of("640")).out)[ITERATIONS] == 10


@pytest.mark.parametrize(
    ("words", "sentences"),
    [
        (["d_steps=0"], ["d_steps must be at least 1, got 0"]),
        (["batch_size=-1"], ["batch_size must be at least 1, got -1"]),
        (["batch_size=many"], ["batch_size: expected int, got 'many'"]),
        (["d_steps=???"], ["d_steps: missing; set d_steps=..."]),
    ],
)
def test_what_is_wrong_with_k_or_m_is_said_of_these(words, sentences):
    with pytest.raises(ConfigError) as caught:
        completed(of("3e6"), *words)
    assert caught.value.problems == sentences


def test_a_game_needs_a_k(tmp_path):
    outcome = run_train(*smoke(tmp_path), of("3e6"), "d_steps=null")
    assert outcome.code == 2
    assert "d_steps: expected int, got None" in outcome.err


@pytest.mark.parametrize("images", ["", "abc", "0", "-5", "1,2", "null", "[1]", "1e400", "nan"])
def test_a_budget_that_is_no_number_of_images_costs_one_sentence(images):
    outcome = run_train(of(images).replace("=", "='") + "'")
    assert outcome.code == 2
    first, second = outcome.err.splitlines()
    assert first == "ganlab: 1 mistake, nothing was started"
    assert second.startswith("  ${images:")
    assert second.endswith("}: expected one number of images, at least 1")


# The study of Lucic et al. -----------------------------------------------------------------------


@cache
def budget(*words: str) -> tuple[int, int]:
    """(images that D sees, images between two scorings) of the study with some overrides."""
    cfg, found = composer().compose(["sweep=lucic", *words])
    assert found == []
    seen = cfg.d_steps * cfg.batch_size
    return cfg.iterations * seen, cfg.metrics.every * seen


def test_every_point_of_the_lucic_study_sees_twenty_epochs_of_fifty_thousand():
    plan = study.read(composer().base(["sweep=lucic"]).hydra.sweeper)
    points, of_k = plan.trials([]), set()
    points += plan.again(points[0], 0)
    assert len(points) == 7 * 150 + 5
    assert points[-1].stage == AGAIN
    for point in points:
        words = [word.lstrip("+") for word in point.overrides]
        deciding = [word for word in words if word.partition("=")[0] in (K, M, ITERATIONS)]
        seen, scored = budget(*deciding)  # nothing else is in the budget
        of_k.add(tuple(deciding))
        assert seen / 50_000 == pytest.approx(20, abs=0.01)
        assert scored / 50_000 == pytest.approx(5, abs=0.01)
    assert of_k == {(), ("d_steps=1",), ("d_steps=5",)}
    assert budget("d_steps=5", "iterations=15625")[0] == 5_000_000  # as it was: 100 epochs
