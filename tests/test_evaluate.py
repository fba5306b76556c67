"""Scores of real runs, in training and afterwards: the same numbers, each with its protocol."""

import csv
import json
import re
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ganlab
from commands import run_evaluate, run_train, runs_in, smoke
from ganlab.commands.evaluation import Choice, subject
from ganlab.data import Digits
from ganlab.data.images import normalised
from ganlab.data.progress import unwatched
from ganlab.errors import ProtocolMismatchError
from ganlab.metrics import Tally
from ganlab.plots import pictures
from ganlab.runs.folder import Run
from ganlab.scoring import ByClassifier, ByInception, Scorecard, baselines, tables
from ganlab.scoring.evaluation import NEAREST, Evaluation
from ganlab.scoring.extraction import extract
from ganlab.scoring.protocol import Protocol
from ganlab.storage.cache import hash_of

SCORED = ("metrics=classifier", "metrics.every=2", "metrics.n=200")
NAMES = ("frechet", "is", "kernel", "precision", "recall", "density", "coverage", "modes", "kl")


def trained(output_dir: Path, *overrides: str) -> Path:
    """The folder of a run of four iterations on the digits, 382 of them held out."""
    words = smoke(output_dir, "data.split=train", "iterations=4", *overrides)
    outcome = run_train(*words)
    assert (outcome.code, outcome.err) == (0, "")
    return max(runs_in(output_dir), key=lambda run: run.stat().st_mtime)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run that was scored while it trained; no test changes it."""
    return trained(tmp_path_factory.mktemp("scored"), *SCORED)


@pytest.fixture
def own(run, tmp_path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(run, tmp_path / "experiment" / "run"))


def noted(run: Path) -> list[Scorecard]:
    """The scores in summary.json."""
    records = json.loads((run / "summary.json").read_text())["scores"]
    return [Scorecard.from_dict(record) for record in records]


def evaluated(*words: str) -> str:
    outcome = run_evaluate(*words)
    assert (outcome.code, outcome.err) == (0, "")
    return outcome.out


# In training ------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_run_logs_its_scores_and_keeps_them_with_their_protocol(run):
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    column = "frechet/classifier-digits/200"
    assert [row["iterations"] for row in rows if row[column]] == ["2", "4"]
    last = noted(run)[0]
    assert last.iterations == 4
    assert tuple(last.scores) == NAMES
    assert last.scores["frechet"].value == float(rows[-1][column])
    assert (last.protocol.data, last.protocol.real, last.protocol.fake) == ("digits", 1415, 200)
    ramped = 0.5 ** (1 / (0.05 * 4))  # half of the average is of the last 5% of four iterations
    assert (last.protocol.ema, last.protocol.seed) == (pytest.approx(ramped), 0)


def test_the_best_checkpoint_can_be_loaded(run):
    with (run / "metrics.csv").open(newline="") as file:
        values = {
            int(row["iterations"]): float(row["frechet/classifier-digits/200"])
            for row in csv.DictReader(file)
            if row["frechet/classifier-digits/200"]
        }
    best = min(values, key=values.get)
    assert ganlab.load(run, "best").iterations == best
    assert ganlab.load(run).iterations == 4


def test_the_same_run_is_the_same_with_and_without_scores(run, tmp_path):
    """The folder's name, and every weight bit for bit."""
    plain = trained(tmp_path)
    assert plain.name == run.name
    a, b = ganlab.load(plain).state_dict(), ganlab.load(run).state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.long
def test_a_run_that_may_end_early_is_another_experiment_and_finished_when_it_does(tmp_path, run):
    words = ("iterations=12", "metrics=classifier", "metrics.every=1", "metrics.n=50")
    early = trained(tmp_path, *words, "metrics.patience=1", "metrics.best=precision")
    assert early.name != trained(tmp_path / "b", *words).name
    assert json.loads((early / "summary.json").read_text())["iterations"] < 12
    assert Run(early).finished
    assert ganlab.load(early).iterations == noted(early)[0].iterations


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("metrics=fid", "metrics: there is no 'fid' (classifier, inception, none)"),
        ("metrics.every=5", "metrics: set metrics=classifier or metrics=inception, too"),
    ],
)
def test_mistakes_in_the_choice_of_scores_are_named(tmp_path, word, sentence):
    outcome = run_train(*smoke(tmp_path, word))
    assert outcome.code == 2
    assert sentence in outcome.err


def test_mistakes_in_a_plan_are_found_before_anything_is_trained(tmp_path):
    outcome = run_train(
        *smoke(
            tmp_path, "metrics=classifier", "metrics.every=0", "metrics.bset=is", "metrics.n=many"
        )
    )
    assert outcome.code == 2
    assert outcome.err == (
        "ganlab: 2 mistakes, nothing was started\n"
        "  metrics.n: expected int, got 'many'\n"
        "  metrics.bset: ByClassifier takes no 'bset'; did you mean 'best'?\n"
    )
    outcome = run_train(*smoke(tmp_path, "metrics=classifier", "metrics.every=0"))
    assert outcome.err.endswith("  metrics: every must be at least 1, got 0\n")
    outcome = run_train(*smoke(tmp_path, "metrics=inception", f"metrics.weights={tmp_path}/no.pth"))
    assert outcome.code == 2
    assert f"{tmp_path}/no.pth" in outcome.err
    assert runs_in(tmp_path) == []


def test_a_classifier_of_data_without_classes_is_refused(tmp_path):
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "a.png")
    words = ("data=folder", f"data.root={tmp_path}", "metrics=classifier")
    outcome = run_train(*smoke(tmp_path / "out", *words))
    assert outcome.code == 2
    assert "metrics=classifier learns the classes of the data, which has none" in outcome.err


# Afterwards -------------------------------------------------------------------------------------


def test_the_command_finds_what_training_found(own):
    before = noted(own)
    out = evaluated(f"run={own}")
    assert noted(own) == before
    value = before[0].scores["frechet"].value
    assert re.search(rf"frechet/classifier-digits/200 +{value:.4g}\n", out)
    assert "200 generated (averaged weights, seed 0, uint8, rounded)" in out
    assert "1,415 real of digits, train" in out


def test_other_words_give_other_protocols_beside_the_first(own):
    before = noted(own)
    out = evaluated(f"run={own}", "n=300", "split=test", "seed=7", "real=100")
    assert "frechet/classifier-digits/300/test" in out
    added = noted(own)[-1]
    assert noted(own)[:-1] == before
    assert (added.protocol.split, added.protocol.real, added.protocol.seed) == ("test", 100, 7)
    assert added.protocol.real_hash == hash_of(Digits(split="test").read()._asdict())[:16]
    with pytest.raises(ProtocolMismatchError, match="split: train and test"):
        tables.table([(Run(own), before[0]), (Run(own), added)], ["frechet"])


def test_scores_of_a_run_that_goes_on_are_kept(own):
    before = noted(own)
    Run(own).conclude("interrupted", {"iterations": 3})
    assert noted(own) == before
    assert json.loads((own / "summary.json").read_text())["status"] == "interrupted"


def test_a_run_that_was_not_scored_is_scored_by_the_classifier(tmp_path):
    plain = trained(tmp_path)
    assert json.loads((plain / "summary.json").read_text())["scores"] == []
    assert "frechet/classifier-digits/100" in evaluated(f"run={plain}", "n=100")
    assert len(noted(plain)) == 1
    assert json.loads((plain / "summary.json").read_text())["status"] == "finished"
    outcome = run_evaluate(f"run={plain}", "checkpoint=best")
    assert outcome.code == 2
    assert "no checkpoint with a best score; was it trained with metrics=...?" in outcome.err


def test_repeats_have_error_bars_and_the_first_is_the_seeds(own):
    one = noted(own)[0]
    evaluated(f"run={own}", "repeats=3", "n=200")
    three = noted(own)[-1]
    assert three.repeats == 3
    assert three.scores["frechet"].margin > 0
    assert three.scores["frechet"].value != one.scores["frechet"].value


@pytest.mark.long
def test_held_out_and_training_images_are_scored_beside_the_generator(tmp_path):
    run = trained(tmp_path, "data.split=train")
    said = json.loads(run_evaluate(f"run={run}", "n=500", "format=json").out)["runs"][0]
    held, seen = said["baselines"]
    assert [held["images"], seen["images"]] == ["held-out images", "training images"]
    assert (held["protocol"]["fake"], seen["protocol"]["fake"]) == (382, 500)  # all, and n
    distances = [one["scores"]["frechet"]["value"] for one in (seen, held, said)]
    assert distances == sorted(distances)
    out = evaluated(f"run={run}", "n=500")
    assert f"| 382 held-out images | {held['scores']['frechet']['value']:.4g} |" in out
    assert f"| training images | {seen['scores']['frechet']['value']:.4g} |" in out
    assert "training images" not in evaluated(f"run={run}", "n=500", "baselines=false")


@pytest.mark.long
def test_scores_of_real_images_are_computed_once(tmp_path, monkeypatch):
    run = trained(tmp_path, "data.split=train")
    first = evaluated(f"run={run}", "n=450")
    monkeypatch.setattr(baselines, "score_stored", lambda *_: pytest.fail("computed again"))
    assert evaluated(f"run={run}", "n=450") == first
    with pytest.raises(BaseException, match="computed again"):
        evaluated(f"run={run}", "n=451")


def test_of_data_without_held_out_images_a_sentence_says_so(tmp_path):
    run = trained(tmp_path, "data.split=all")
    assert "this data holds no images out" in evaluated(f"run={run}", "n=200")


@pytest.mark.long
def test_the_extrapolation_has_an_interval(own):
    out = evaluated(f"run={own}", "extrapolate=true", "n=1000")
    (card,) = {c.iterations: c for c in noted(own) if "frechet_infinity" in c.scores}.values()
    score = card.scores["frechet_infinity"]
    assert card.scores.keys() > set(NAMES)
    evaluated(f"run={own}", "n=1000")
    assert any("frechet_infinity" in card.scores for card in noted(own))
    assert score.margin > 0
    assert f"frechet_infinity/classifier-digits/1k  {tables.spelled(score)}" in out


def test_an_extrapolation_from_few_images_is_doubted_and_from_fewer_refused_before_any_work(own):
    before = len(noted(own))
    refused = run_evaluate(f"run={own}", "extrapolate=true", "n=300")
    assert refused.code == 2
    wanted = "frechet_infinity of 64 dimensions needs at least 320 images, got 300"
    assert wanted in refused.err
    assert "generated" not in refused.out
    assert len(noted(own)) == before
    doubted = run_evaluate(f"run={own}", "extrapolate=true", "n=320")
    assert doubted.code == 0
    assert "frechet_infinity of 64 dimensions is safe from 960 images on, got 320" in doubted.err


@pytest.mark.long
def test_every_class_is_scored_by_itself_where_the_generator_is_told_it(tmp_path):
    told = trained(tmp_path, "conditioning=acgan")
    out = evaluated(f"run={told}", "n=200", "by_class=true")
    whole, *classes = noted(told)
    assert [card.protocol.data for card in classes] == [f"digits, class {c}" for c in range(10)]
    assert sum(card.protocol.real for card in classes) == whole.protocol.real == 1415
    assert {card.protocol.fake for card in classes} == {20}
    assert "| digits, class 9 |" in out
    with pytest.raises(ProtocolMismatchError, match="data: digits, class 0 and digits, class 1"):
        tables.table([(Run(told), card) for card in classes[:2]], ["frechet"])


def test_of_other_generators_it_is_said_how_much_of_each_class_they_cover(own):
    out = evaluated(f"run={own}", "by_class=true")
    classes = noted(own)[-10:]
    assert all(tuple(card.scores) == ("recall", "coverage") for card in classes)
    assert "|  | recall | coverage |" in out


@pytest.mark.long
def test_several_runs_make_a_table_with_seeds_together(tmp_path, monkeypatch):
    seeds = [trained(tmp_path / str(seed), f"seed={seed}") for seed in (0, 1)]
    trained(tmp_path / "hinge", "loss=hinge")
    monkeypatch.chdir(tmp_path)
    out = evaluated("run=[0/*/*,1/*/*,hinge/*/*]", "n=200")
    values = [noted(seed)[0].scores["frechet"].value for seed in seeds]
    header, rule, both, hinge, held, seen, _, caption = out.splitlines()[-8:]
    assert caption == tables.CAPTION
    assert header.startswith(
        "| experiment | runs | iterations | frechet/classifier-digits/200 | is/"
    )
    assert set(rule) <= set("| -")
    spread = tables.spelled(tables.spread(values))
    assert both.startswith(f"| digits-dcgan-nonsaturating | 2 | 4 | {spread} |")
    assert hinge.startswith("| digits-dcgan-hinge | 1 | 4 | ")
    assert held.startswith("| held-out images |  |  | ")
    assert seen.startswith("| training images |  |  | ")


@pytest.mark.parametrize(
    ("word", "difference"),
    [
        ("data.size=8", "data: digits (1 x 16 x 16) and digits (1 x 8 x 8)"),
        ("metrics.n=300", "n: 200 and 300"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused_before_one_is_scored(
    tmp_path, own, word, difference
):
    before = (own / "summary.json").read_bytes()
    other = trained(tmp_path / "other", *SCORED, word)
    outcome = run_evaluate(f"run=[{own},{other}]")
    assert outcome.code == 2
    assert outcome.err == (
        "ganlab: 1 mistake, nothing was started\n"
        f"  '{own}' and '{other}' would be scored by unlike protocols: {difference}\n"
    )
    assert (own / "summary.json").read_bytes() == before


@pytest.mark.long
def test_data_that_has_moved_is_found_where_it_is_said_to_be(tmp_path):
    folder = tmp_path / "here"
    images, labels = Digits().read()
    for i in range(200):
        target = folder / str(labels[i].item())
        target.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[i, 0].numpy()).save(target / f"{i}.png")
    words = smoke(tmp_path / "out", "data=folder", f"data.root={folder}")
    assert run_train(*words).code == 0
    (moved,) = runs_in(tmp_path / "out")
    folder.rename(tmp_path / "there")
    outcome = run_evaluate(f"run={moved}", "n=100")
    assert outcome.code == 2
    assert f"there is no folder, zip or tar '{folder}'" in outcome.err
    assert "frechet/classifier-folder/100" in evaluated(
        f"run={moved}", "n=100", f"root={tmp_path}/there"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["root=x"], "root: Digits of this run has no location; leave root out"),
        (["n=5"], "n must be at least 10, got 5"),
        (["run=*/*"], "run: no run matches '*/*'"),
        (["run=nowhere/*"], "run: no run matches 'nowhere/*'"),
        (["repeats=0"], "repeats must be at least 1, got 0"),
        (
            ["protocol=fid50k"],
            "expected 'stylegan' or 'mimicry' or 'lucic' or 'cleanfid' or 'cleanfid-train'",
        ),
        (
            ["protocol=lucic", "n=100"],
            "protocol=lucic is by Inception and fixes n, split, real and kept; leave n=... out",
        ),
        (["protocol=lucic", "extractor=classifier"], "leave extractor=classifier out"),
        (["weights=a.pth"], "weights: only extractor=inception takes a file of them"),
        (["real=5000"], "5000 real images are needed, digits (train) has 1415"),
        (["check=torchmetrics", "repeats=2"], "check: needs repeats=1, got repeats=2; leave"),
        (
            ["check=torchmetrics"],
            (
                "check: torchmetrics scores by Inception, not by the classifier; set "
                "extractor=inception weights=FILE n=..."
            ),
        ),
        (["neighbors=3"], "neighbors: unknown; did you mean 'neighbours'?"),
    ],
)
def test_mistakes_are_said_in_one_sentence_and_change_nothing(own, words, sentence):
    before = (own / "summary.json").read_bytes()
    outcome = run_evaluate(f"run={own}", *words)
    assert outcome.code == 2
    assert sentence in outcome.err
    assert (own / "summary.json").read_bytes() == before


def test_of_several_runs_all_are_checked_before_one_is_scored(own, tmp_path):
    before = (own / "summary.json").read_bytes()
    outcome = run_evaluate(f"run=[{own},{tmp_path}/none]", "n=100")
    assert outcome.code == 2
    assert outcome.err.endswith(f"  '{tmp_path}/none' is no run: it has no config.yaml\n")
    assert (own / "summary.json").read_bytes() == before


def test_a_strangers_folder_runs_no_code_of_its_own(own):
    config = (own / "config.yaml").read_text()
    (own / "config.yaml").write_text(config.replace("ganlab.data.Digits", "my_data.Evil"))
    outcome = run_evaluate(f"run={own}")
    assert outcome.code == 2
    assert "names my_data.Evil; set trust=true if you trust the folder" in outcome.err


@pytest.mark.long
def test_modes_of_stacked_mnist_are_counted_digit_by_digit(data_root, tmp_path):
    where = [f"data.root={data_root}", "data.download=false", "data.n=400"]
    plan = ["metrics=classifier", "metrics.every=3", "metrics.n=100"]
    outcome = run_train(*smoke(tmp_path, "data=stacked_mnist", *where, *plan))
    assert (outcome.code, outcome.err) == (0, "")
    card, _ = noted(runs_in(tmp_path)[0])  # the second: on fresh noise
    assert card.protocol.name("modes") == "modes/stacked-classifier-mnist/100"
    assert 1 <= card.scores["modes"].value <= 100


# As JSON ----------------------------------------------------------------------------------------

CARD = {"iterations", "repeats", "scores", "protocol"}
RUN = {"run", *CARD, "classes", "neighbours", "torchmetrics", "baselines"}


def document(*words: str) -> dict:
    """What the command says as JSON; what else it says is on stderr."""
    outcome = run_evaluate(*words, "format=json")
    assert outcome.code == 0
    return json.loads(outcome.out, parse_constant=pytest.fail)


def test_one_document_has_the_scores_as_summary_json_has_them(own):
    found = document(f"run={own}")
    assert found.keys() == {"runs", "experiments"}
    (run,), (experiment,) = found["runs"], found["experiments"]
    assert run.keys() == RUN
    assert experiment.keys() == {"experiment", "scored", "iterations", "scores", "protocol"}
    assert experiment["scores"].keys() == run["scores"].keys() == set(NAMES)
    assert run["scores"]["frechet"].keys() == {"name", "value", "margin", "deviation", "n"}
    assert run["protocol"].keys() == {field.name for field in fields(Protocol)}
    assert (run["run"], run["iterations"], run["repeats"]) == (str(own), 4, 1)
    assert {key: run[key] for key in CARD} == json.loads(json.dumps(noted(own)[0].as_dict()))
    assert (run["classes"], run["neighbours"], run["torchmetrics"]) == ([], None, None)


def test_all_that_is_found_is_in_the_document_and_is_told_on_stderr(own):
    words = (f"run={own}", "by_class=true", "neighbours=2")
    outcome = run_evaluate(*words, "format=json")
    (run,) = json.loads(outcome.out)["runs"]
    assert [card["protocol"]["data"] for card in run["classes"]] == [
        f"digits, class {c}" for c in range(10)
    ]
    assert run["classes"][0].keys() == CARD
    assert run["neighbours"] == str(own / "neighbours-0000004.png")
    assert 0 <= run["scores"]["memorisation"]["value"] <= 1
    assert outcome.err == evaluated(*words)


@pytest.mark.long
def test_seeds_are_together_in_the_document_of_several_runs(tmp_path):
    seeds = [trained(tmp_path / str(seed), f"seed={seed}") for seed in (0, 1)]
    found = document(f"run=[{seeds[0]},{seeds[1]}]", "n=100")
    assert [run["run"] for run in found["runs"]] == list(map(str, seeds))
    (experiment,) = found["experiments"]
    values = [run["scores"]["frechet"]["value"] for run in found["runs"]]
    assert (experiment["scored"], experiment["iterations"]) == (2, [4])
    assert experiment["scores"]["frechet"]["value"] == pytest.approx(sum(values) / 2)
    assert experiment["scores"]["frechet"]["margin"] > 0


def test_a_mistake_leaves_stdout_empty(own):
    assert run_evaluate(f"run={own}", "n=5", "format=json")[:2] == (2, "")


# What lies nearest ------------------------------------------------------------------------------


@pytest.fixture
def evaluation(run):
    choice = Choice(None, None, {"n": 200})
    gan, data, plan = subject(Run(run), choice, "last", None, trust=False)
    return Evaluation(gan, data, plan)


def with_images(evaluation, images):
    """The evaluation, as if the generator made these images."""
    extractor = evaluation.scorer.extractor
    tally = Tally(extractor.dim, extractor.classes, len(images))
    for features in extract(extractor, images.split(256), unwatched):
        tally.update(features)
    evaluation.first = tally
    evaluation.scorer.images = lambda gan, share, seed: iter([images[share]])
    return evaluation


def test_copies_of_training_images_are_told_from_unseen_ones(evaluation):
    train, unseen = Digits(split="train").read().images, Digits(split="test").read().images
    assert with_images(evaluation, train[:300]).memorised().value > 0.99
    assert with_images(evaluation, unseen).memorised().value == pytest.approx(0.5)


def test_beside_a_copy_is_what_it_was_copied_from(evaluation):
    train = Digits(split="train").read().images
    grid = with_images(evaluation, train[:20]).neighbours(3)
    rows = grid.view(3, 1 + NEAREST, 1, 16, 16)
    assert torch.equal(rows[:, 0], normalised(train[:3]))
    assert torch.equal(rows[:, 1], rows[:, 0])
    assert not torch.equal(rows[:, 2], rows[:, 0])


def test_the_command_draws_them(own):
    out = evaluated(f"run={own}", "neighbours=4")
    with Image.open(own / "neighbours-0000004.png") as image:
        tile = 16 * round(pictures.TILE / 16) + 2
        assert image.size == ((1 + NEAREST) * tile + 2, 4 * tile + 2)
    assert "memorisation/classifier-digits/200" in out
    (found,) = [c.scores["memorisation"] for c in noted(own) if "memorisation" in c.scores]
    assert 0 <= found.value <= 1


# Choices ----------------------------------------------------------------------------------------


def test_a_plan_is_what_is_asked_else_the_runs_own_else_what_the_data_allows():
    own = ByClassifier(every=7, n=300)
    assert Choice(None, None, {}).plan(own, 10) == own
    assert Choice(None, None, {"n": 50}).plan(own, 10) == replace(own, n=50)
    assert Choice(None, "classifier", {}).plan(own, 10) == own
    assert Choice(None, "inception", {}).plan(own, 10) == ByInception()
    assert Choice(None, None, {}).plan(None, 10) == ByClassifier()
    assert Choice(None, None, {}).plan(None, 0) == ByInception()
    lucic = ByInception(n=10_000, split="test", real=10_000, kept=50_000, seed=3)
    assert Choice("lucic", None, {"seed": 3}).plan(own, 10) == lucic
    clean = ByInception(n=10_000, split="test", clean=True, kept=50_000)
    assert Choice("cleanfid", "inception", {}).plan(own, 10) == clean
