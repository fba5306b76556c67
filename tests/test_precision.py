"""Models that are no GANs train, are watched and are measured in every precision."""

import json

import pytest

from commands import run_train, runs_in
from training_in_parts import ended

WATCHED = ("health=watch", "health.every=1", "health.patience=5", "iterations=2")
MEASURED = ("callback.likelihood.samples=2", "callback.likelihood.n=10")
GAUSSIAN = ("model=rbm", "model.generator.visible=gaussian", "model.binarise=none")
MODELS = {
    "vae": ("model=vae",),
    "rbm": ("model=rbm",),
    "rbm-gaussian": GAUSSIAN,
    "sbn": ("model=sbn", "model.generator.hidden=[8]"),
}


@pytest.mark.long
@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed", "bf16-true", "16-mixed", "16-true"])
@pytest.mark.parametrize("model", MODELS)
def test_it_trains_in_every_precision(tmp_path, model, precision):
    words = [*MODELS[model], *WATCHED, *MEASURED, f"trainer.precision={precision}"]
    outcome = run_train(
        "trainer=smoke", "logger=csv", "data=digits", *words, f"output_dir={tmp_path}"
    )
    assert outcome.code == 0, outcome.err
    (run,) = runs_in(tmp_path)
    summary = json.loads((run / "summary.json").read_text())
    assert [one["name"].split("/")[0] for one in summary["likelihoods"]][:1] == ["nll"]


@pytest.mark.parametrize(
    "precision", ["bf16-mixed", pytest.param("16-mixed", marks=pytest.mark.long)]
)
def test_the_energies_of_a_machine_are_never_in_half_precision(tmp_path, precision):
    """A scaled gradient is centred and decays as it would without the scale."""
    words = [*GAUSSIAN, "model.weight_decay=0.1", "~callback.likelihood"]
    mixed = ended(tmp_path / "mixed", *words, f"trainer.precision={precision}")["state_dict"]
    whole = ended(tmp_path / "whole", *words)["state_dict"]
    assert {n: (mixed[n] - whole[n]).abs().max().item() for n in whole} == dict.fromkeys(whole, 0)
