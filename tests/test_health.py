"""Verdicts: of readings as they come, without training; of runs, and what is done about them."""

import functools
import json
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback

from commands import completed, rows, run_train, runs_in, summary
from conftest import differing, same, small_gan
from ganlab.callbacks import HealthReadings, Scores
from ganlab.data import Images
from ganlab.data.images import normalised
from ganlab.errors import ConfigError, NonFiniteError, UnhealthyError
from ganlab.gan import GAN
from ganlab.health.readings import features_of
from ganlab.health.verdicts import AILMENTS, FEWEST, Detector, Verdict, Watch, diagnosis
from ganlab.lab import failures
from ganlab.plots.figures import arranged
from ganlab.runs.folder import Run, identity
from ganlab.scoring.scorecard import Score
from ganlab.storage import checkpoint
from ganlab.train import train
from test_resume import before_g_step, signalled
from wandb_server import records

HEALTHY = {
    "D(x)": 0.8,
    "D(G(z))": 0.2,
    "d_accuracy": 0.95,
    "logit_gap": 4.0,
    "logit_size": 2.0,
    "diversity": 0.8,
    "modes": 0.7,
    "duplicates": 0.3,
    "drift": 0.1,
    "active_units": 0.6,
    "chain_memory": 0.9,
    "dead_units": 0.1,
}
ILL = {
    "chains-stand-still": {"chain_memory": 0.999},
    "dead-units": {"dead_units": 0.8},
    "discriminator-won": {"D(x)": 0.999, "D(G(z))": 0.001, "d_accuracy": 1.0, "logit_gap": 20.0},
    "one-image": {"diversity": 0.02, "modes": 0.05, "duplicates": 1.0},
    "mode-collapse": {"diversity": 0.3, "modes": 0.12, "duplicates": 1.0},
    "oscillation": {"diversity": 0.05, "modes": 0.06, "duplicates": 1.0, "drift": 0.8},
    "divergence": {"logit_size": 1e6},
}


def said(*phases: tuple[int, dict], watch: Watch | None = None) -> list[tuple[str, int]]:
    """(ailment, iteration) of all verdicts; phases are (iterations, what differs from healthy)."""
    watch = watch or Watch()
    detector, found, iteration = Detector(watch), [], 0
    for length, changes in phases:
        for _ in range(length // watch.every):
            iteration += watch.every
            reading = {**HEALTHY, **changes, "iterations": iteration}
            found += [(v.ailment, v.iteration) for v in detector.read(reading)]
    return found


# Readings in, verdict out ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ILL)
def test_every_ailment_is_said_once_by_its_name_when_patience_has_run_out(name):
    (verdict,) = said((2000, {}), (2000, ILL[name]))
    assert verdict[0] == name
    assert 2050 <= verdict[1] <= 2500


@pytest.mark.parametrize("name", ILL)
def test_a_symptom_that_passes_is_no_ailment(name):
    passing = [(150, ILL[name]), (1000, {})]
    changed = ILL[name] if name != "divergence" else {"logit_size": 2e4}
    assert said((2000, {}), (150, changed), (1000, {}), (150, changed), (1000, {})) == []
    assert said((2000, {}), *passing * 2, (2000, ILL[name])), "it can be seen at all"


@pytest.mark.parametrize("name", ["one-image", "mode-collapse", "oscillation"])
def test_points_which_have_no_reading_of_duplicates_are_judged_by_their_modes(name):
    detector, found = Detector(Watch()), []
    for iteration in range(50, 4000, 50):
        changes = ILL[name] if iteration > 2000 else {}
        reading = {**HEALTHY, **changes, "iterations": iteration}
        del reading["duplicates"]
        found += [verdict.ailment for verdict in detector.read(reading)]
    assert found == [name]


def test_what_is_healthy_stays_so():
    assert said((5000, {})) == []


def test_few_modes_are_no_illness_while_the_run_is_young():
    young = {"diversity": 0.1, "modes": 0.06, "duplicates": 1.0, "drift": 0.9}
    assert said((1300, young), (2000, {})) == []
    assert said((1300, young), (2000, {}), watch=Watch(warmup=0))[0] == ("oscillation", 500)


def test_a_large_gap_of_a_critic_is_no_illness():
    """Without D(x) as a probability nobody can say that D has won."""
    detector, critic = Detector(Watch()), {**HEALTHY, "d_accuracy": 1.0, "logit_gap": 500.0}
    for name in ("D(x)", "D(G(z))"):
        del critic[name]
    assert [v for i in range(99) for v in detector.read({**critic, "iterations": 50 * i})] == []


def test_a_discriminator_that_is_right_without_being_certain_has_not_won():
    assert said((3000, {"D(x)": 0.93, "D(G(z))": 0.07, "d_accuracy": 1.0})) == []
    dcgan = {"D(x)": 0.99, "D(G(z))": 0.007, "d_accuracy": 1.0, "logit_gap": 10.0}
    assert said((3000, dcgan)) == [], "as a healthy one begins"


def test_memorisation_rests_on_few_readings():
    detector = Detector(Watch())
    readings = [{**HEALTHY, "iterations": 50 * i} for i in range(1, 30)]
    readings[19]["memorised"] = 0.9
    (found,) = (v for reading in readings for v in detector.read(reading))
    assert (found.ailment, found.iteration) == ("memorisation", 1000)
    assert "90% of the samples are copies" in found.evidence


def test_who_is_ill_in_two_ways_is_told_both():
    both = ILL["discriminator-won"] | ILL["one-image"]
    assert [name for name, _ in said((2000, {}), (2000, both))] == [
        "discriminator-won",
        "one-image",
    ]


def test_a_verdict_says_what_was_seen_since_when_and_what_to_try():
    detector = Detector(Watch(every=100, warmup=0))
    for i in range(1, 30):
        found = detector.read({**HEALTHY, **ILL["discriminator-won"], "iterations": 100 * i})
        if found:
            break
    text = str(found[0])
    assert "discriminator-won: D(x)=1.00, D(G(z))=0.00, D ranks 100.0% of pairs rightly" in text
    assert "from iteration 100 to 500; try a lower d_optimizer.lr" in text


def test_a_detector_goes_on_from_its_state_as_if_it_had_never_stopped():
    readings = [{**HEALTHY, **ILL["mode-collapse"], "iterations": 50 * i} for i in range(1, 60)]
    whole, first = Detector(Watch()), Detector(Watch())
    expected = [v for reading in readings for v in whole.read(reading)]
    half = [v for reading in readings[:27] for v in first.read(reading)]
    second = Detector(Watch())
    second.load_state(json.loads(json.dumps(first.state())))
    assert half + [v for reading in readings[27:] for v in second.read(reading)] == expected
    assert len(expected) == 1
    forgetful = [v for reading in readings[27:] for v in Detector(Watch()).read(reading)]
    assert forgetful != expected


def test_every_bound_is_of_a_reading_that_healthy_runs_have():
    known = HEALTHY.keys() | {"memorised", "active_units"}
    for ailment in (ailment for kind in AILMENTS for ailment in kind):
        assert ailment.above.keys() | ailment.below.keys() <= known
        assert ailment.says.format(**dict.fromkeys(known, 0.5))
    assert diagnosis([], warm=True) == []


def test_values_out_of_range_are_refused():
    with pytest.raises(ValueError, match="patience must be at least 5 readings, 500 iterations"):
        Watch(every=100, patience=400)
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        Watch(every=0)
    assert Watch(every=100, patience=100 * FEWEST)


def test_readings_do_not_depend_on_the_order_of_files():
    """Of images sorted by class the first are alike; samples as diverse as all read 1.68 then."""
    dark, light = torch.full((600, 1, 4, 4), 20), torch.full((600, 1, 4, 4), 235)
    sorted_images = torch.cat([dark, light]) + torch.arange(1200).view(-1, 1, 1, 1) % 16
    data = SimpleNamespace(images=Images(sorted_images.to(torch.uint8), torch.zeros(1200).long()))
    readings = HealthReadings(Watch(), data)
    readings.on_train_start(None, small_gan())
    mixed = normalised(data.images.images[torch.randperm(1200)[:256]])
    taken, _ = readings._reference.readings(features_of(mixed))
    assert taken["diversity"].item() == pytest.approx(1, abs=0.1)


# Runs --------------------------------------------------------------------------------------------

# D is certain after some ten iterations.
WON = [
    *("model=vanilla", "model.generator.hidden=[16]", "model.discriminator.hidden=[16]"),
    *("model.discriminator.dropout=0.0", "loss=minimax", "optim@g_optimizer=sgd"),
    *("trainer=smoke", "g_optimizer.lr=0.001", "d_optimizer.lr=0.05", "batch_size=16"),
    *("iterations=24", "log_every=5", "checkpoint_every=8", "sample_every=24", "logger=csv"),
    *("health.every=2", "health.patience=10", "health.warmup=0", "health.rollbacks=2"),
]


def run_of(folder: Path, action: str = "report", callbacks=(), **changes: Any) -> Run:
    """A run of WON as its train command would make it; `changes` are of the completed config."""
    config = completed(*WON) | {"output_dir": str(folder)}
    config["health"]["action"] = action  # `changes` may replace it
    for name, value in changes.items():
        *path, key = name.split("__")
        functools.reduce(dict.__getitem__, path, config)[key] = value
    return train(config, "won", callbacks=callbacks)


def the_run(folder: Path) -> Path:
    (run,) = runs_in(folder)
    return run


def last(run: Path) -> dict[str, Any]:
    return checkpoint.read(checkpoint.listed(run / "checkpoints")[-1])


class Iterations(Callback):
    """Which iterations have been trained, in order."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, gan, *_):
        self.seen.append(gan.iterations)


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> Path:
    return run_of(tmp_path_factory.mktemp("reported")).path


def test_a_verdict_is_logged_and_written_down(reported):
    (verdict,) = summary(reported)["health"]
    assert verdict["ailment"] == "discriminator-won"
    readings = rows(reported)[-1]
    assert float(readings["health/d_accuracy"]) > 0.99
    names = {"diversity", "modes", "duplicates", "drift", "logit_gap", "gradient_ratio"}
    assert {f"health/{name}" for name in names} <= readings.keys()
    assert (reported / "curves.png").exists()


@pytest.mark.parametrize("action", ["none", "snapshot"])
def test_looking_changes_nothing(reported, tmp_path, action):
    other = run_of(tmp_path, action) if action != "none" else run_of(tmp_path, health={})
    mine, theirs = last(reported), last(other.path)
    assert same(mine["state_dict"], theirs["state_dict"])
    assert differing(mine["optimizer_states"], theirs["optimizer_states"]) == []
    assert other.path.name == reported.name, "what only looks is no part of the identity"


def test_only_actions_that_change_a_run_count_in_its_identity():
    def of(action="report", **changes):
        config = completed()
        config["health"] |= {"action": action}
        return identity(config | changes)

    assert len({of(), of("snapshot"), of(health={}), of(checkpoint_every=7)}) == 1
    assert len({of(), of("stop"), of("rollback")}) == 3
    assert of("stop", checkpoint_every=7) == of("stop")
    assert of("rollback", checkpoint_every=7) != of("rollback")


def test_a_snapshot_is_kept_when_other_checkpoints_are_rotated(tmp_path):
    run = run_of(tmp_path, "snapshot").path
    (verdict,) = summary(run)["health"]
    name = f"discriminator-won-iteration-{verdict['iteration']:07d}"
    assert sorted(p.name for p in (run / "health").iterdir()) == [f"{name}.ckpt", f"{name}.png"]
    assert checkpoint.read(run / "health" / f"{name}.ckpt")["iterations"] == verdict["iteration"]
    assert verdict["iteration"] < 16
    kept = [path.name for path in checkpoint.listed(run / "checkpoints")]
    assert kept[-2:] == ["iteration-0000016.ckpt", "iteration-0000024.ckpt"]


def test_a_run_that_is_to_stop_ends_as_a_failure_does_and_stays_so(tmp_path):
    with pytest.raises(UnhealthyError, match=r"^discriminator-won: D\(x\)="):
        run_of(tmp_path, "stop")
    run = the_run(tmp_path)
    found = summary(run)
    assert found["status"] == "stopped"
    assert found["error"] == f"discriminator-won: {found['health'][0]['evidence']}"
    assert found["iterations"] == found["health"][0]["iteration"] < 24
    assert checkpoint.listed(run / "checkpoints")[-1].name == checkpoint.name(found["iterations"])
    assert (run / "samples" / "samples.gif").exists()
    with pytest.raises(UnhealthyError):
        run_of(tmp_path, "stop")
    assert {**summary(run), "seconds": 0} == {**found, "seconds": 0}


def test_a_sweep_goes_on_after_a_run_that_has_stopped(tmp_path):
    words = [*WON, f"output_dir={tmp_path}", "health.action=stop"]
    outcome = run_train("-m", *words, "d_optimizer.lr=0.05,0.00001")
    assert outcome.code == 1
    assert outcome.out.count("iteration 12: discriminator-won: D(x)=") == 1
    assert "training stopped: discriminator-won: D(x)=" in outcome.out
    assert "health: no ailment was found" in outcome.out
    assert "1 finished, 1 stopped" in outcome.out
    assert "stopped: d_optimizer.lr=0.05" in outcome.out


@pytest.fixture(scope="module")
def rolled_back(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("rolled_back")
    with pytest.raises(UnhealthyError):
        run_of(folder, "rollback")
    return the_run(folder)


def test_a_rollback_tries_otherwise_from_a_healthy_checkpoint_and_then_stops(rolled_back):
    found, saved = summary(rolled_back), last(rolled_back)
    assert found["status"] == "stopped"
    assert [v["ailment"] for v in found["health"]] == ["discriminator-won"] * 3
    assert saved["attempt"] == 2
    rates = [group["lr"] for state in saved["optimizer_states"] for group in state["param_groups"]]
    assert rates == pytest.approx([0.001 / 4, 0.05 / 4])


def test_a_run_that_recovers_after_going_back_finishes(tmp_path, capsys):
    """At half the rate D is not certain before the run ends.  Who looks on sees both attempts."""
    watched = Iterations()
    run = run_of(tmp_path, "rollback", [watched], iterations=16, d_optimizer__lr=0.02)
    assert run.finished
    assert watched.seen[-16:] == list(range(1, 17))
    assert len(watched.seen) > 16
    assert summary(run.path)["seconds"] < 100, "it began before the clock did"
    assert "attempt 1 of 2: other noise, learning rates times 0.5" in capsys.readouterr().out


def spoiled(monkeypatch, *iterations: int) -> None:
    """In the first attempt G's loss is NaN in some iterations."""
    g_loss = GAN.g_loss

    def spoil(gan, *inputs):
        ill = gan.attempt == 0 and gan.iterations + 1 in iterations
        return g_loss(gan, *inputs) * (torch.nan if ill else 1.0)

    monkeypatch.setattr(GAN, "g_loss", spoil)


CALM = {"d_optimizer__lr": 1e-4, "log_every": 1, "checkpoint_every": 4, "iterations": 10}


@pytest.mark.parametrize(("at", "to"), [(7, 4), (8, 4), (9, 8)])
def test_a_run_goes_back_from_nan_to_the_last_checkpoint_there_is(
    tmp_path, monkeypatch, capsys, at, to
):
    """At iteration 8 a checkpoint was due, and is never written."""
    spoiled(monkeypatch, at)
    assert run_of(tmp_path, "rollback", **CALM).finished
    assert f"back to {checkpoint.name(to)}, attempt 1 of 2" in capsys.readouterr().out


class Invented:
    """Scores that depend on the attempt: 40 at iteration 2, then better ones that are undone."""

    def __init__(self, scorer):
        self.scorer = scorer

    def __call__(self, gan, *seed):
        found = self.scorer(gan, *seed)
        if seed:  # the best checkpoint on fresh noise
            return found
        known = {0: {2: 40.0, 4: 30.0, 6: 10.0}, 1: {6: 50.0, 8: 35.0, 10: 60.0}}
        value = known[gan.attempt][gan.iterations]
        return replace(found, scores={**found.scores, "frechet": Score(value)})


@pytest.fixture
def invented(monkeypatch) -> dict[str, Any]:
    """How such a run is scored; in its first attempt G's loss is NaN at iteration 7."""
    prepare = Scores.prepare

    def prepared(scores, *where):
        prepare(scores, *where)
        scores.scorer = Invented(scores.scorer)

    monkeypatch.setattr(Scores, "prepare", prepared)
    spoiled(monkeypatch, 7)
    return completed(*WON, "metrics=classifier", "metrics.n=20", "metrics.every=2")["metrics"]


@pytest.mark.parametrize(
    ("every", "best", "scored"), [(4, (8, 35.0), {8, 10}), (6, (6, 10.0), {6, 10})]
)
def test_scores_of_an_attempt_that_was_undone_are_gone_with_its_best_checkpoint(
    tmp_path, invented, every, best, scored
):
    """NaN at 7: with checkpoints at 4 the best one, of 6, is undone, with one at 6 it is not."""
    run = run_of(tmp_path, "rollback", **{**CALM, "checkpoint_every": every}, metrics=invented)
    found = summary(run.path)["best"]
    assert (found["iteration"], found["selected_by"]) == best
    assert checkpoint.read(run.best_checkpoint())["iterations"] == best[0]
    assert {s["iterations"] for s in summary(run.path)["scores"]} == scored


def test_scores_that_an_undone_attempt_has_written_down_are_gone(tmp_path, monkeypatch, invented):
    """Stopped at 5 and 6 it has noted 30 and 10, and what made them is lost with best.ckpt."""
    for stop, noted in ((5, {4}), (6, {4, 6})):
        with signalled(monkeypatch, signal.SIGINT, stop):
            run = run_of(tmp_path, "rollback", **CALM, metrics=invented)
        assert {s["iterations"] for s in summary(run.path)["scores"]} == noted
    run = run_of(tmp_path, "rollback", **CALM, metrics=invented)
    assert {s["iterations"] for s in summary(run.path)["scores"]} == {8, 10}
    assert summary(run.path)["best"]["selected_by"] == 35.0


def test_the_first_of_two_verdicts_ends_a_run(tmp_path, monkeypatch):
    one, two = (Verdict(name, 2, 0, "evidence", "advice") for name in ("divergence", "one-image"))
    monkeypatch.setattr(Detector, "read", lambda *_: [one, two])
    with pytest.raises(UnhealthyError, match="divergence: evidence"):
        run_of(tmp_path, "stop")


def test_a_signal_in_the_iteration_of_a_verdict_stops_and_the_next_start_goes_back(
    tmp_path, monkeypatch, capsys
):
    options = {"iterations": 16, "d_optimizer__lr": 0.02}
    with signalled(monkeypatch, signal.SIGINT, 14):
        run = run_of(tmp_path, "rollback", **options)
    out = capsys.readouterr().out
    assert "iteration 14: discriminator-won" in out
    assert "back to" not in out
    assert summary(run.path)["status"] == "interrupted"
    assert run_of(tmp_path, "rollback", **options).finished
    assert "back to iteration-0000000.ckpt, attempt 1 of 2" in capsys.readouterr().out


def test_a_killed_run_ends_as_one_that_never_was(rolled_back, tmp_path, monkeypatch):
    def kill():
        raise RuntimeError("the machine is gone")

    with before_g_step(monkeypatch, 11, kill), pytest.raises(RuntimeError, match="is gone"):
        run_of(tmp_path, "rollback")  # with half a window of readings
    with pytest.raises(UnhealthyError):
        run_of(tmp_path, "rollback")
    killed = the_run(tmp_path)
    assert differing(last(rolled_back), last(killed)) == []
    assert summary(rolled_back)["health"] == summary(killed)["health"]


def test_numbers_that_are_not_finite_are_a_divergence_from_which_a_run_goes_back(tmp_path):
    squares = {"_target_": "ganlab.losses.LeastSquares"}
    for action, times in (("report", 1), ("rollback", 3)):
        with pytest.raises(NonFiniteError):
            run_of(tmp_path / action, action, loss=squares, d_optimizer__lr=1e18)
        found = summary(the_run(tmp_path / action))
        assert found["status"] == "failed"
        assert [v["ailment"] for v in found["health"]] == ["divergence"] * times


@pytest.mark.long
def test_a_verdict_is_an_alert_in_weights_and_biases(tmp_path):
    run = run_of(tmp_path, logger=completed("logger=wandb")["logger"]).path
    (alert,) = (record["alert"] for record in records(run) if record["type"] == "alert")
    (verdict,) = summary(run)["health"]
    assert "discriminator-won" in alert["title"]
    assert verdict["evidence"] in alert["text"]
    assert alert["level"] == "WARN"


def test_rolling_back_is_refused_where_several_devices_train(tmp_path):
    trainer = completed(*WON)["trainer"] | {"devices": 2, "strategy": "ddp"}
    with pytest.raises(ConfigError, match=r"rollback works on one device; set health\.action=stop"):
        run_of(tmp_path, "rollback", trainer=trainer)
    assert runs_in(tmp_path) == []


def test_a_discriminator_of_energies_is_right_where_its_energy_is_low(tmp_path):
    words = ("model=autoencoder", "loss=ebgan", "trainer=smoke", "logger=csv", "health.every=1")
    config = completed(*words, f"output_dir={tmp_path}")
    run = train(config, "energies").path
    for row in rows(run):
        gap = float(row["D(G(z))"]) - float(row["D(x)"])  # energies: means of the same minibatch
        assert float(row["health/logit_gap"]) == pytest.approx(gap, abs=1e-4)


def test_shares_have_one_panel_and_logits_another():
    names = ["health/modes", "health/logit_gap", "health/drift", "health/gradient_ratio"]
    assert arranged(names) == {
        "health": ["health/modes", "health/drift"],
        "logits of D": ["health/logit_gap"],
        "gradient norm": ["health/gradient_ratio"],
    }


def test_a_laboratory_trains_what_fails_and_says_what_ails_it(tmp_path, capsys):
    small = ["data=digits", "iterations=24", *(w for w in WON if w.startswith("health"))]
    words = [*small, "logger=csv", "d_optimizer.lr=0.05", f"output_dir={tmp_path}"]
    written = failures.overpowered_discriminator(overrides=words)
    run, out = the_run(tmp_path), capsys.readouterr().out
    first = summary(run)["health"][0]
    assert first["ailment"] == "discriminator-won"
    assert out.count(f"discriminator-won: {first['evidence']}") == 2, "as it trains and at its end"
    assert written == [run / "samples" / "samples.gif", run / "curves.png"]
    failures.overpowered_discriminator(overrides=words)
    assert f"discriminator-won: {first['evidence']}" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"did you mean 'action'\?"):
        failures.oscillation(overrides=["health.actoin=stop"])
