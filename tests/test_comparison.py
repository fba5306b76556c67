"""Scores of pictures from anywhere, by the protocols and under the names of a run's."""

import json

import pytest
import torch
from PIL import Image

from commands import run_evaluate, run_sample, trained
from ganlab.data import Digits


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("outputs"))


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A folder of real digits, in classes."""
    folder = tmp_path_factory.mktemp("real")
    images, labels = Digits().read()
    for i, (image, label) in enumerate(zip(images[:200], labels.tolist(), strict=False)):
        (folder / str(label)).mkdir(exist_ok=True)
        Image.fromarray(image[0].numpy()).save(folder / str(label) / f"{i}.png")
    return folder


def scores(*words):
    outcome = run_evaluate(*words, "format=json")
    assert outcome.code == 0, outcome
    return json.loads(outcome.out)


def test_a_runs_images_have_the_scores_of_the_run(run, tmp_path):
    """Drawn by the run's own seed: only the classes' order and the rounding to files differ."""
    assert run_sample(f"run={run}", "n=120", "array=true", f"output={tmp_path}").code == 0
    (file,) = tmp_path.glob("*.npy")
    stored = scores(f"images={file}", "reference=digits")
    (own,) = scores(f"run={run}", "extractor=classifier", "n=120")["runs"]
    assert stored["protocol"]["quantisation"] == "as stored"
    assert stored["scores"].keys() == own["scores"].keys()
    for name, score in own["scores"].items():
        assert stored["scores"][name]["name"] == score["name"]
    assert stored["protocol"]["real_hash"] == own["protocol"]["real_hash"]
    near = {n: (stored["scores"][n]["value"], s["value"]) for n, s in own["scores"].items()}
    assert near["frechet"][0] == pytest.approx(near["frechet"][1], rel=0.01)


def test_real_pictures_are_close_to_themselves_and_noise_is_not(real, tmp_path):
    for i, noise in enumerate(torch.randint(256, (60, 16, 16), dtype=torch.uint8)):
        Image.fromarray(noise.numpy()).save(tmp_path / f"{i}.png")
    same = scores(f"images={real}", f"reference={real}")["scores"]
    other = scores(f"images={tmp_path}", f"reference={real}")["scores"]
    assert same["frechet"]["value"] < 1e-3
    assert other["frechet"]["value"] > 100 * same["frechet"]["value"]
    assert (same["precision"]["value"], same["recall"]["value"]) == (1.0, 1.0)
    assert other["recall"]["value"] < 0.5


def test_pictures_of_another_size_are_resized_for_a_classifier(real, tmp_path):
    for file in real.rglob("*.png"):
        Image.open(file).resize((32, 32)).save(tmp_path / file.name)
    found = scores(f"images={tmp_path}", f"reference={real}", "n=50")
    assert found["protocol"]["fake"] == 50


REFUSED = {
    "images={real}": "set run=..., or both images=... and reference=...",
    "reference=digits": "set run=..., or both images=... and reference=...",
    "": "set run=..., or both images=... and reference=...",
    "run={run} reference=digits": "reference: goes with images=..., not with run=...",
    "images={real} reference=digits repeats=3": "repeats: goes with run=..., not with images=...",
    "images={real} reference=digit": "reference: there is no folder 'digit', nor a data set",
    "images=nowhere reference=digits": "there is no",
    "images={real} reference=digits n=999": "n: 999 images are wanted, and there are 200",
    "images={real} reference=digits protocol=lucic": "",
    "images={real} reference=digits run={run}": "images: goes with",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_compared_gets_a_sentence(words, real, run, monkeypatch, tmp_path):
    monkeypatch.setenv("GANLAB_INCEPTION", str(tmp_path / "none"))
    outcome = run_evaluate(*words.format(real=real, run=run).split())
    assert outcome.code == 2, outcome
    assert REFUSED[words] in outcome.err
