"""The quiz: fair trials, statistics, the staircase, one person's way through it in a browser."""

import base64
import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.httpserver import HTTPServer

import ganlab
from browsers import PHONE
from commands import run_main, run_train, runs_in, trained
from event_loops import Loop
from ganlab.commands import command_line
from ganlab.commands import questions as asking
from ganlab.commands.questions import Asked, questions
from ganlab.data import Digits, Folder
from ganlab.data.images import normalised
from ganlab.pages import loopback
from ganlab.quiz import quiz, tell
from ganlab.quizzing import pixels, results, server
from ganlab.quizzing.play import Play
from ganlab.quizzing.staircase import Staircase, threshold
from ganlab.quizzing.statistics import error_rate
from ganlab.quizzing.trials import Design
from ganlab.runs.folder import Run
from ganlab.spec import ImageSpec
from test_pages import HOSTILE

SPEC = ImageSpec(3, 8)
BYTES = 3 * 8 * 8
RANDOM = lambda seed=0: np.random.default_rng(seed)


def images(count, seed):
    """Random images as a page gets them."""
    drawn = RANDOM(seed).integers(0, 256, (count, BYTES), np.uint8)
    return [one.tobytes() for one in drawn]


def trials(design, seed=0, fake=None):
    real = images(design.images, 1)
    return design.trials(real, fake or images(design.images, 2), RANDOM(seed))


# Trials ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize(("n", "practice"), [(50, 6), (2, 0), (8, 2)])
def test_each_part_has_every_answer_equally_often_and_no_image_twice(n, practice, paired):
    design = Design(n, practice, paired)
    found = trials(design)
    for part in (found[:practice], found[practice:]):
        assert set(Counter(trial.right for trial in part).values()) <= {len(part) // 2}
    assert {trial.right for trial in found[practice:]} == set(design.choices)
    shown = [image for trial in found for image in trial.images]
    assert len(set(shown)) == len(shown) == 2 * design.images
    real = set(images(design.images, 1))
    for trial in found:
        kinds = [image in real for image in trial.images]
        right = {"real": [True], "fake": [False], "left": [True, False], "right": [False, True]}
        assert kinds == right[trial.right]


@pytest.mark.parametrize("paired", [False, True])
def test_the_order_is_the_seeds(paired):
    design = Design(40, 0, paired)
    first, again, other = (trials(design, seed) for seed in (3, 3, 4))
    assert first == again
    assert [t.right for t in first] != [t.right for t in other]


def test_the_place_of_a_trial_does_not_tell_its_answer():
    """Over many seeds, each place has each answer in half of the quizzes."""
    design = Design(10)
    rights = np.array([[t.right == "real" for t in trials(design, seed)] for seed in range(400)])
    assert np.abs(rights.mean(axis=0) - 0.5).max() < 0.12
    after = np.corrcoef(rights[:, :-1].ravel(), rights[:, 1:].ravel())[0, 1]
    assert after == pytest.approx(-1 / 9, abs=0.07), "as of a shuffled half"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"n": 0}, "n must be at least 2, got 0"),
        ({"n": 4, "practice": -2}, "practice must be at least 0, got -2"),
        ({"n": 5, "practice": 3}, "n and practice must be even: half of the images are real"),
    ],
)
def test_numbers_of_trials_out_of_range_get_a_sentence(asked, said):
    with pytest.raises(ValueError, match=said):
        Design(**asked)


# Pixels ------------------------------------------------------------------------------------------


def test_real_pixels_arrive_as_they_are():
    real = Digits().read().images[:20]
    want = [one.numpy().transpose(1, 2, 0).tobytes() for one in real]
    assert pixels.encoded(normalised(real)) == want


@pytest.mark.parametrize("quality", [None, 50])
@pytest.mark.parametrize("channels", [1, 3])
def test_equal_images_are_equal_bytes_whatever_their_kind(quality, channels):
    """Real images are integers that become floats, generated ones floats near them."""
    made = torch.rand(8, channels, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    real = ((made + 1) * 127.5).round().to(torch.uint8)
    one, other = (pixels.encoded(each, quality) for each in (normalised(real), made))
    assert one == other
    assert {len(image) for image in one} == {channels * 16 * 16}


def pictures(folder, count=6, size=16, **options):
    """A folder of smooth pictures."""
    folder.mkdir()
    for i in range(count):
        small = Image.fromarray(RANDOM(i).integers(64, 192, (4, 4, 3), np.uint8))
        small.resize((size, size), Image.Resampling.BICUBIC).save(
            folder / f"{i}{options['end']}",
            **{key: value for key, value in options.items() if key != "end"},
        )
    return folder


@pytest.mark.parametrize("quality", [1, 50, 75, 95])
def test_the_quality_of_jpegs_is_found(tmp_path, quality):
    folder = pictures(tmp_path / "a", end=".jpg", quality=quality)
    assert pixels.quality_of(Folder(folder)) == quality
    assert pixels.quality_of(Folder(folder, size=8)) is None


def test_other_data_has_no_quality(tmp_path):
    assert pixels.quality_of(Folder(pictures(tmp_path / "a", end=".png"))) is None
    assert pixels.quality_of(Digits()) is None
    mixed = pictures(tmp_path / "b", end=".jpg")
    pictures(tmp_path / "c", end=".png")
    (tmp_path / "c" / "0.png").rename(mixed / "6.png")
    assert pixels.quality_of(Folder(mixed)) is None


def test_another_jpeg_of_the_files_quality_hardly_changes_them(tmp_path):
    """So generated images get what real ones have, and real ones no more of it."""
    data = Folder(pictures(tmp_path / "a", end=".jpg", quality=50))
    real = normalised(data.read().images)
    noise = torch.rand(real.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert change(real) < 1
    assert change(noise) > 10


def change(images):
    """Levels by which a JPEG of quality 50 changes images."""
    plain, after = (b"".join(pixels.encoded(images, quality)) for quality in (None, 50))
    return np.abs(
        np.frombuffer(plain, np.uint8).astype(int) - np.frombuffer(after, np.uint8)
    ).mean()


# Statistics --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("errors", "n"), [(16, 50), (3, 20), (25, 50), (70, 100)])
def test_the_bootstrap_is_that_of_a_binomial(errors, n):
    """Resampled shares of errors are binomial: the ends of the interval are its quantiles."""
    rate = error_rate([i < errors for i in range(n)])
    assert rate.value == errors / n
    for end, level in ((rate.low, 0.025), (rate.high, 0.975)):
        nearby = [binom.ppf(level + by, n, errors / n) / n for by in (-0.008, 0.008)]
        assert nearby[0] - 1e-12 <= end <= nearby[1] + 1e-12
    assert rate.method == "bootstrap"


@pytest.mark.parametrize("n", [2, 10, 50])
def test_without_errors_the_interval_is_exact(n):
    none, all_ = error_rate([False] * n), error_rate([True] * n)
    assert (none.value, none.low, none.method) == (0, 0, "exact")
    assert (1 - none.high) ** n == pytest.approx(0.025)
    assert all_[:3] == (1, pytest.approx(1 - none.high), 1)


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_an_interval_holds_its_rate(wrong, seed):
    rate = error_rate(wrong, seed)
    assert 0 <= rate.low <= rate.value <= rate.high <= 1
    assert rate == error_rate(wrong, seed)
    assert error_rate([not one for one in wrong], seed).value == pytest.approx(1 - rate.value)


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_intervals_cover_the_truth(p, monkeypatch):
    """Of 400 persons with 100 trials each, nearly 95% have the truth in their interval."""
    monkeypatch.setattr("ganlab.quizzing.statistics.RESAMPLES", 1000)
    drawn = RANDOM(5).random((400, 100)) < p
    rates = [error_rate(wrong.tolist(), seed) for seed, wrong in enumerate(drawn)]
    covered = np.mean([rate.low <= p <= rate.high for rate in rates])
    assert 0.91 < covered < 0.98


# The staircase -----------------------------------------------------------------------------------


def simulated(theta, trials, random, spread=40.0):
    """The exposures of a person who is right in three of four trials at theta milliseconds."""
    staircase, exposures, answers = Staircase(), [500], []
    for _ in range(trials):
        chance = 0.5 + 0.5 / (1 + np.exp((theta - exposures[-1]) / spread))
        answers.append(bool(random.random() < chance))
        exposures.append(staircase.after(exposures[-1], correct=answers[-1]))
    return exposures[:-1], answers


@pytest.mark.parametrize("theta", [200, 300, 400, 500, 700])
def test_the_staircase_finds_the_threshold_of_a_person(theta):
    random = RANDOM(theta)
    found = [threshold(simulated(theta, 150, random)[0]) for _ in range(100)]
    assert abs(np.mean(found) - theta) < 12
    assert np.std(found) < 30
    quick = [threshold(simulated(theta, 50, random)[0]) for _ in range(100)]
    assert abs(np.mean(quick) - theta) < 45
    assert np.std(quick) < 70


def test_the_staircase_has_ends():
    random = RANDOM()
    assert threshold(simulated(-1e4, 50, random)[0]) == 100, (
        "who is always right comes to the floor"
    )
    assert threshold(simulated(1e4, 300, random)[0]) == 1000, "who guesses comes to the top"


def test_a_quiz_steps_as_the_staircase_does():
    random = RANDOM(2)
    exposures, correct = simulated(300, 60, random)
    play = Play(design := Design(60), trials(design), Staircase())
    for exposure, right in zip(exposures, correct, strict=True):
        assert play.question()["exposure"] == exposure
        answer(play, right=right)
    assert results.result(play.answers, {"seed": 0})["exposure_ms"] == threshold(exposures)


def answer(play, *, right=True, seconds=1.0, shown=None):
    """Answers the trial that is due."""
    truth = play.trials[len(play.given)].right
    other = next(choice for choice in play.design.choices if choice != truth)
    return play.answer(play.due, truth if right else other, seconds, shown)


def test_practice_moves_no_exposure():
    play = Play(design := Design(4, 4), trials(design), Staircase())
    for _ in range(5):
        assert play.question()["exposure"] == 500
        answer(play)
    assert play.question()["exposure"] == 490


def test_a_result_counts_what_counts():
    play = Play(design := Design(8, 2), trials(design), None)
    for number in range(10):
        truth = play.trials[number].right
        answer(play, right=number < 2 or truth == "real", seconds=number)
    found = results.result(play.answers, {"seed": 7, "mode": "untimed"})
    assert (found["trials"], found["errors"], found["error_rate"]) == (8, 4, 0.5)
    assert (found["errors_on_real"], found["errors_on_fake"]) == (0, 1)
    assert found["seconds_per_answer"] == 5.5
    assert found["exposure_ms"] is found["lag_ms"] is None
    assert [one["right"] for one in found["answers"]] == [t.right for t in play.trials[2:]]
    json.dumps(found, allow_nan=False)


def test_results_stand_beside_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(results.time, "strftime", lambda _: "2026-11-28-120000")
    files = [results.save(tmp_path, {"mode": "timed", "i": i}) for i in range(3)]
    stem = "2026-11-28-120000-timed"
    assert [file.name for file in files] == [f"{stem}.json", f"{stem}-2.json", f"{stem}-3.json"]
    assert [json.loads(file.read_text())["i"] for file in files] == [0, 1, 2]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "quiz").symlink_to(tmp_path)
    with pytest.raises(OSError, match="it is a link"):
        results.save(tmp_path / "other", {"mode": "timed"})


# The server --------------------------------------------------------------------------------------


class Serving:
    """A quiz on a guarded server in a loop's thread."""

    def __init__(self, loop, folder, design, made=None, run="a-run/of-mine", **options):
        self.loop, self.folder = loop, folder
        self.play = Play(design, made or trials(design), **options)
        timed = self.play.staircase is not None
        about = {"mode": "timed" if timed else "untimed", "paired": design.paired, "n": design.n}
        about |= {"seed": 0, "iteration": 300, "truncation": None, "person": HOSTILE}
        page = server.page(self.play, run, SPEC, about)
        save = lambda found: results.save(folder, found)
        self.served = server.Served(self.play, about, page, save)
        self.server, self.url = loop.run(self._start())

    async def _start(self):
        listening = loopback.opened(0)
        port = listening.getsockname()[1]
        made = HTTPServer(loopback.Guard(self.served.application(), port))
        made.add_socket(listening)
        return made, f"http://127.0.0.1:{port}"

    async def _end(self):
        self.server.stop()
        await self.server.close_all_connections()

    def end(self):
        self.loop.run(self._end())

    def ask(self, path, sent=None, **headers):
        """An answer of the server; `sent` is posted, from the server's own page."""
        body = None if sent is None else sent if isinstance(sent, bytes) else json.dumps(sent)
        headers = {"Origin": self.url, **{k.replace("_", "-"): v for k, v in headers.items()}}
        method = "GET" if sent is None else "POST"
        given = {name: value for name, value in headers.items() if value is not None}
        request = HTTPRequest(f"{self.url}{path}", method, given, body)
        return self.loop.run(self._answer(request))

    async def _answer(self, request):
        return await AsyncHTTPClient().fetch(request, raise_error=False)

    def given(self, **changes):
        sent = {"name": self.play.due, "answer": self.play.design.choices[0], "milliseconds": 1000}
        return {**sent, "shown": None, **changes}

    def written(self):
        return sorted((self.folder / "quiz").glob("*"))


@pytest.fixture
def serving(tmp_path):
    with Loop() as loop, contextlib.ExitStack() as stack:

        def make(*arguments, **options):
            made = Serving(loop, tmp_path, *arguments, **options)
            stack.callback(made.end)
            return made

        yield make


def test_each_trial_is_answered_once(serving):
    quiz = serving(Design(2, 2))
    first = quiz.given()
    reply = json.loads(quiz.ask("/answer", first).body)
    assert reply["right"] == quiz.play.trials[0].right
    assert reply["correct"] == (first["answer"] == reply["right"])
    assert reply["question"]["number"] == 2
    again = json.loads(quiz.ask("/answer", first).body)
    assert again == {"late": True, "question": reply["question"]}
    assert len(quiz.play.given) == 1


def test_the_key_stays_with_the_server(serving):
    quiz = serving(Design(4))
    state = json.loads(quiz.ask("/state").body)
    assert state["question"].keys() == {"name", "number", "of", "practice", "exposure", "seen"}
    reply = json.loads(quiz.ask("/answer", quiz.given()).body)
    assert reply.keys() == {"question"}, "no feedback in trials that count"
    names = quiz.play._names
    codes = [quiz.ask(f"/images?name={name}").code for name in [*names, "", "x"]]
    assert codes == [404, 200, 404, 404, 404, 404], "only what is due"


def test_feedback_may_be_asked_for(serving):
    quiz = serving(Design(4), feedback=True)
    reply = json.loads(quiz.ask("/answer", quiz.given()).body)
    assert reply["right"] == quiz.play.trials[0].right


def test_the_page_is_the_same_whatever_the_key(serving):
    design = Design(40)
    texts = []
    for seed in (1, 2):
        quiz = serving(design, trials(design, seed))
        text = quiz.ask("/").body.decode()
        assert not any(name in text for name in quiz.play._names[1:])
        nonce = re.search(r'nonce="([^"]+)"', text)[1]
        texts.append(text.replace(nonce, "").replace(quiz.play.due, ""))
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("sent", "headers", "code"),
    [
        ({}, {"Origin": "http://evil.example"}, 403),
        ({}, {"Origin": None}, 403),
        ({}, {"Host": "evil.example"}, 403),
        ({"answer": "left"}, {}, 400),
        ({"answer": 1}, {}, 400),
        ({"milliseconds": -1}, {}, 400),
        ({"milliseconds": "1"}, {}, 400),
        ({"shown": float("nan")}, {}, 400),
        ({"more": 1}, {}, 400),
        ({"name": "x" * 65}, {}, 400),
        (b"{", {}, 400),
        (b"\xff", {}, 400),
        (b"[" * 900, {}, 400),
        (b" " * 2000, {}, 400),
    ],
    ids=str,
)
def test_other_answers_are_refused(serving, sent, headers, code):
    quiz = serving(Design(2))
    sent = quiz.given(**sent) if isinstance(sent, dict) else sent
    assert quiz.ask("/answer", sent, **headers).code == code
    assert quiz.play.given == []


def test_a_full_disk_is_told(serving, monkeypatch):
    quiz = serving(Design(2))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(quiz.served, "_save", full)
    for _ in range(2):
        reply = json.loads(quiz.ask("/answer", quiz.given()).body)
    assert (reply["file"], reply["error"]) == (None, "No space left on device")
    with pytest.raises(OSError, match="No space left"):
        quiz.served.outcome()


# Fairness ----------------------------------------------------------------------------------------


def heard(quiz):
    """All that the page receives of each trial besides the values of pixels, and the answers."""
    rows, kinds = [], []
    while not quiz.play.finished:
        state = quiz.ask("/state")
        question = json.loads(state.body)["question"]
        answer = quiz.ask(f"/images?name={question['name']}")
        told = [question["number"], question["of"], len(state.body), len(answer.body)]
        told += [int(digit, 16) for digit in question["name"]]
        told += [len(answer.headers), len(str(answer.headers)), answer.request_time]
        told += [hash(tuple(answer.headers)) % 1000, hash(tuple(question)) % 1000]
        rows.append(told)
        kinds.append(quiz.play.trials[len(quiz.play.given)].right)
        quiz.ask("/answer", quiz.given())
    return np.array(rows, float), np.array(kinds) == quiz.play.design.choices[0]


def accuracy(learned, asked):
    """How often a classifier that learned from one quiz is right in another."""
    model = make_pipeline(StandardScaler(), LogisticRegression())
    return model.fit(*heard(learned)).score(*heard(asked))


def png(image, level):
    """A file of eight equal rows."""
    file = io.BytesIO()
    rows = np.frombuffer(8 * image[:24], np.uint8).reshape(8, 8, 3)
    Image.fromarray(rows).save(file, "PNG", compress_level=level)
    return file.getvalue()


@pytest.mark.long
@pytest.mark.parametrize("paired", [False, True])
def test_nothing_but_pixels_tells(serving, paired):
    design = Design(600, 0, paired)
    found = accuracy(*(serving(design, trials(design, seed)) for seed in (1, 2)))
    assert abs(found - 0.5) < 0.1  # five standard deviations


def test_the_test_of_fairness_finds_what_is_unfair(serving):
    """PNGs of unlike settings have unlike lengths."""
    design = Design(300)
    real = [png(image, 9) for image in images(150, 1)]
    fake = [png(image, 0) for image in images(150, 2)]
    quizzes = (serving(design, design.trials(real, fake, RANDOM(seed))) for seed in (1, 2))
    assert accuracy(*quizzes) > 0.95


# In a browser ------------------------------------------------------------------------------------

KEYS = {"left": "ArrowLeft", "right": "ArrowRight", "real": "r", "fake": "f"}
READY = "[data-answer][aria-disabled=false] >> visible=true"
AGAIN = "This image was shown {}. Answer by what you saw, or guess."
PAIR = "These images were shown before the page was loaded again. Answer by what you saw, or guess."
ONE = "First comes 1 trial to practise. It does not count, and after it you learn"
TWO = "First come 2 trials to practise. They do not count, and after each you learn"


def seen(page):
    """The pixels (8, 8, RGBA) on the first canvas."""
    url = page.evaluate("document.querySelector('canvas').toDataURL()")
    file = io.BytesIO(base64.b64decode(url.partition(",")[2]))
    return np.asarray(Image.open(file).convert("RGBA"))


def colours(page):
    """The bytes of its colours, as the server sends them."""
    return seen(page)[..., :3].tobytes()


def answered(page, play, wrong=()):
    """Answers the trial that is due by a key, in numbers of `wrong` wrongly."""
    page.wait_for_selector(READY)
    number = len(play.given)
    truth = play.trials[number].right
    other = next(choice for choice in play.design.choices if choice != truth)
    choice = other if number in wrong else truth
    press(page, KEYS[choice])


def begun(page):
    """The page after its first section has been left by keyboard."""
    page.wait_for_selector("#go:visible")
    page.keyboard.press("Enter")
    page.wait_for_selector("#trial:visible")
    return page


def press(page, key):
    """Answers by a key and waits until the server has replied."""
    with page.expect_response("**/answer"):
        page.keyboard.press(key)


def finished(page, play, wrong=()):
    """Plays a quiz to its end by keyboard, from its first section."""
    page.wait_for_selector("#go:visible")
    while not play.finished:
        number = len(play.given)
        if page.is_visible("#go"):
            page.keyboard.press("Enter")
        answered(page, play, wrong)
        if number < play.design.practice or play.feedback:
            learnt(page, right=number not in wrong)
    page.wait_for_selector("#result:visible")


def learnt(page, *, right):
    """Goes on after feedback."""
    page.wait_for_selector("#next:visible")
    assert page.text_content("#verdict").startswith("Right." if right else "Wrong.")
    page.keyboard.press("Enter")
    page.wait_for_selector("#next", state="hidden")


@pytest.mark.long
@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize(("timed", "feedback"), [(False, False), (False, True), (True, False)])
def test_a_quiz_is_played_by_keyboard(serving, opened, paired, timed, feedback):
    staircase = Staircase(start=130) if timed else None
    quiz = serving(Design(4, 2, paired), staircase=staircase, feedback=feedback)
    page = opened(quiz.url)
    page.wait_for_selector("#go:visible")
    assert page.evaluate("document.activeElement.id") == "go"
    finished(page, quiz.play, wrong=(1, 3, 4))
    (file,) = quiz.written()
    found = json.loads(file.read_text())
    assert (found["trials"], found["errors"], found["error_rate"]) == (4, 2, 0.5)
    assert (found["mode"], found["paired"]) == ("timed" if timed else "untimed", paired)
    low, high = found["interval"]
    want = error_rate([n in (3, 4) for n in range(2, 6)])
    assert (low, high) == (want.low, want.high)
    if timed:
        exposures = [a["exposure_ms"] for a in found["answers"]]
        assert exposures == [130, 120, 150, 180]
        assert all(a["shown_ms"] > 0 for a in found["answers"])
        assert found["lag_ms"] == pytest.approx(
            np.mean([a["shown_ms"] - a["exposure_ms"] for a in found["answers"]])
        )
        assert page.text_content("#score") == f"{np.mean(exposures):.0f} ms"
        assert page.locator("#steps polyline").get_attribute("points").count(",") == 4
    else:
        assert page.text_content("#score") == "50%"
        assert "50% is chance" in page.text_content("#meaning")
    assert file.name in page.text_content("#kept")
    assert quiz.served.ended.is_set()


def test_the_canvas_shows_the_pixels_and_then_noise(serving, opened):
    quiz = serving(Design(2))
    page = begun(opened(quiz.url))
    page.wait_for_selector(READY)
    assert colours(page) == quiz.play.trials[0].images[0]
    assert (seen(page)[..., 3] == 255).all()
    timed = serving(Design(2), staircase=Staircase(start=100))
    page = begun(opened(timed.url))
    page.wait_for_selector(READY)
    assert colours(page) != timed.play.trials[0].images[0]
    assert seen(page)[..., :3].std() > 40


def test_early_keys_answer_nothing(serving, opened):
    quiz = serving(Design(2), staircase=Staircase(start=300))
    page = opened(quiz.url)
    page.keyboard.press("r")
    begun(page).evaluate(
        """() => {
            const open = document.querySelector("[data-answer]").ariaDisabled === "false";
            if (!open) document.dispatchEvent(new KeyboardEvent("keydown", {key: "r"}));
        }"""
    )
    page.wait_for_selector(READY)
    assert quiz.play.given == []


@pytest.mark.long
def test_reload_goes_on_and_writes_nothing(serving, opened):
    quiz = serving(Design(4, 2))
    page = begun(opened(quiz.url))
    answered(page, quiz.play)
    page.wait_for_selector("#next:visible")
    page.reload()
    page.wait_for_selector("#go:visible")
    assert page.text_content("#going") == "Go on: Practice 2 of 2"
    page.keyboard.press("Enter")
    answered(page, quiz.play)
    learnt(page, right=True)
    assert "4 trials follow" in page.text_content("#start")
    assert page.text_content("#going") == "Start"
    page.keyboard.press("Enter")
    answered(page, quiz.play)
    page.wait_for_selector("#count:text-is('Trial 2 of 4')")
    page.reload()
    assert not quiz.written()
    page.wait_for_selector("#go:visible")
    assert not page.is_visible("#practice"), "it is over"
    finished(page, quiz.play)
    (file,) = quiz.written()
    page.reload()
    page.wait_for_selector("#result:visible")
    assert file.name in page.text_content("#kept")
    assert len(quiz.written()) == 1


def test_a_double_click_is_one_answer(serving, opened):
    quiz = serving(Design(6))
    page = begun(opened(quiz.url))
    page.wait_for_selector(READY)
    page.dblclick("[data-answer=real]")
    page.wait_for_selector("#count:text-is('Trial 2 of 6')")
    page.wait_for_selector(READY)
    assert len(quiz.play.given) == 1
    page.evaluate(
        """async () => {
            const button = document.querySelector("[data-answer]");
            button.click();
            await new Promise((resolve) => setTimeout(resolve, 150));
            button.click();  // a finger that taps twice: nobody has seen the next image
        }"""
    )
    page.wait_for_selector("#count:text-is('Trial 3 of 6')")
    page.wait_for_selector(READY)
    assert len(quiz.play.given) == 2


def test_after_a_reload_a_timed_image_is_not_shown_again(serving, opened):
    quiz = serving(Design(4, 2), staircase=Staircase(start=300))
    page = begun(opened(quiz.url))
    page.wait_for_selector(READY)
    page.reload()
    begun(page)
    page.evaluate(
        """() => {
            const { expose } = QuizScreen.prototype;
            window.exposed = 0;
            QuizScreen.prototype.expose = function (milliseconds) {
                exposed++;
                return expose.call(this, milliseconds);
            };
        }"""
    )
    page.wait_for_selector(READY)
    assert page.evaluate("exposed") == 0
    assert page.text_content("#seen") == AGAIN.format("before the page was loaded again")
    assert page.text_content("#status") == f"Practice 1 of 2. {page.text_content('#seen')}"
    answered(page, quiz.play)
    page.wait_for_selector("#next:visible")
    assert page.is_hidden("#seen"), "it is there to look at"
    assert quiz.play.given[0].shown_ms is None
    learnt(page, right=True)
    page.wait_for_selector("#count:text-is('Practice 2 of 2')")
    page.wait_for_selector(READY)
    assert page.evaluate("exposed") == 1, "the next one is"
    assert page.is_hidden("#seen")


def test_a_timed_pair_is_not_shown_again_either(serving, opened):
    quiz = serving(Design(2, paired=True), staircase=Staircase(start=100))
    page = begun(opened(quiz.url))
    page.wait_for_selector(READY)
    page.reload()
    begun(page).wait_for_selector(READY)
    assert page.text_content("#seen") == PAIR
    assert colours(page) != quiz.play.trials[0].images[0]


def test_an_untimed_image_stays_after_a_reload_and_nothing_is_said(serving, opened):
    quiz = serving(Design(2))
    page = begun(opened(quiz.url))
    page.wait_for_selector(READY)
    page.reload()
    begun(page).wait_for_selector(READY)
    assert page.is_hidden("#seen")
    assert colours(page) == quiz.play.trials[0].images[0]


def test_after_an_answer_in_practice_a_timed_image_is_there_to_look_at(serving, opened):
    quiz = serving(Design(2, 2), staircase=Staircase(start=100), feedback=True)
    page = begun(opened(quiz.url))
    page.wait_for_selector(READY)
    image = quiz.play.trials[0].images[0]
    assert colours(page) != image, "noise"
    answered(page, quiz.play)
    page.wait_for_selector("#next:visible")
    assert colours(page) == image
    learnt(page, right=True)
    answered(page, quiz.play)
    learnt(page, right=True)
    begun(page)
    answered(page, quiz.play)
    page.wait_for_selector("#next:visible")
    assert colours(page) != quiz.play.trials[2].images[0], "where it counts it stays hidden"


@pytest.mark.parametrize(("practice", "said"), [(1, ONE), (2, TWO)])
def test_the_number_of_trials_to_practise_is_said(serving, opened, practice, said):
    quiz = serving(Design(2, practice, paired=True))
    page = opened(quiz.url)
    page.wait_for_selector("#go:visible")
    assert " ".join(page.text_content("#practice").split()).startswith(said)


@pytest.mark.long
@pytest.mark.parametrize("timed", [False, True])
def test_a_second_tab_goes_on_from_the_first_and_says_so(serving, opened, timed):
    quiz = serving(Design(4), staircase=Staircase(start=100) if timed else None)
    one, other = (begun(opened(quiz.url)) for _ in range(2))
    for page in (one, other):
        page.wait_for_selector(READY)
    answered(one, quiz.play)
    one.wait_for_selector("#count:text-is('Trial 2 of 4')")
    one.wait_for_selector(READY)
    press(other, "r")
    other.wait_for_selector("#count:text-is('Trial 2 of 4')")
    assert other.text_content("#late") == "Trial 1 was already answered."
    assert len(quiz.play.given) == 1
    assert other.is_visible("#seen") == timed
    if timed:
        assert other.text_content("#seen") == AGAIN.format("in another tab")
    answered(other, quiz.play)
    other.wait_for_selector("#count:text-is('Trial 3 of 4')")
    assert other.is_hidden("#late")
    assert len(quiz.play.given) == 2


def test_by_touch_on_a_phone_nothing_is_out_of_reach(serving, opened):
    quiz = serving(Design(2, 0, paired=True))
    page = opened(quiz.url, viewport=PHONE, has_touch=True, reduced_motion="reduce")
    page.tap("#go")
    for trial in quiz.play.trials:
        page.wait_for_selector(READY)
        box = page.locator(f"[data-answer={trial.right}]").bounding_box()
        assert box["height"] >= 44
        assert box["y"] + box["height"] <= PHONE["height"]
        with page.expect_response("**/answer"):
            page.tap(f"[data-answer={trial.right}]")
    page.wait_for_selector("#result:visible")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert quiz.served.result["errors"] == 0


def test_hostile_names_are_shown_and_run_nothing(serving, opened):
    quiz = serving(Design(2), run=HOSTILE)
    page = opened(quiz.url)
    assert HOSTILE.replace("\u2028", " ").split()[0] in page.text_content("main > p")
    finished(page, quiz.play)
    assert page.title().strip() == "Which image is real?"
    assert json.loads(quiz.written()[0].read_text())["person"] == HOSTILE


def test_who_has_ended_the_command_is_told(serving, chromium):
    quiz = serving(Design(2))
    page = chromium.new_page()
    page.goto(quiz.url)
    page.wait_for_selector("#go:visible")
    quiz.end()
    page.keyboard.press("Enter")
    page.wait_for_selector("#trouble:text('its command has ended')")
    page.close()


PLAYED = """(async () => {
    const until = async (test) => { while (!test()) await new Promise(requestAnimationFrame); };
    const seen = (id) => !document.getElementById(id).hidden;
    const first = document.querySelector("[data-answer]");
    await until(() => seen("start"));
    document.getElementById("go").click();
    for (const key of KEYS) {
        await until(() => first.getAttribute("aria-disabled") === "false");
        document.dispatchEvent(new KeyboardEvent("keydown", {key}));
    }
    await until(() => seen("result"));
    return document.getElementById("score").textContent;
})()"""


@pytest.mark.long
def test_firefox_plays_it_too(serving, firefox):
    quiz = serving(Design(2), staircase=Staircase(start=120))
    firefox.open(quiz.url)
    keys = json.dumps([KEYS[trial.right] for trial in quiz.play.trials])
    assert firefox.value(PLAYED.replace("KEYS", keys)) == "115 ms"
    assert quiz.served.result["errors"] == 0


# The command -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("outputs"), "iterations=2", "data.split=train")


def asked(run, design, seed=3, split=None, compress=None):
    return questions(
        Run(run), ganlab.load(run), design, Asked(seed, None, split, compress), None, trust=False
    )


def test_the_images_are_those_of_the_data_and_of_the_generator(run):
    design = Design(20, 4)
    found = asked(run, design)
    assert found.about == {"data": "digits", "split": "test", "compress": None}
    held = {one.numpy().tobytes() for one in Digits(split="test").read().images}
    made = set(pixels.encoded(ganlab.load(run).sample(design.images, seed=3)))
    shown = {"real": set(), "fake": set()}
    for trial in found.trials:
        shown[trial.right].add(trial.images[0])
    assert shown["real"] <= held
    assert shown["fake"] == made
    trained_on = {one.numpy().tobytes() for one in Digits(split="train").read().images}
    real = [t.images[0] for t in asked(run, design, split="train").trials if t.right == "real"]
    assert set(real) <= trained_on


@pytest.mark.parametrize("compress", [None, 40])
def test_a_perfect_generator_cannot_be_told_byte_for_byte(run, monkeypatch, compress):
    """G is replaced by the data: both kinds are the same images, and arrive as the same bytes."""
    taken = []

    def chosen(images, count, seed):
        taken.append(normalised(images.images[:count]))
        return taken[0], images.labels[:count].tolist()

    monkeypatch.setattr(asking, "chosen", chosen)
    monkeypatch.setattr(asking.Drawn, "all", lambda _: taken[0].clone() + 1e-4)
    found = asked(run, Design(20), compress=compress).trials
    kinds = [sorted(t.images[0] for t in found if t.right == kind) for kind in ("real", "fake")]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("conditioning", ["concat", "projection", "infogan"])
def test_both_kinds_are_of_the_same_classes(tmp_path, monkeypatch, conditioning):
    run = trained(tmp_path, f"conditioning={conditioning}", "iterations=1")
    labels = []
    monkeypatch.setattr(
        asking, "Drawn", lambda *given, make=asking.Drawn: labels.extend(given[4]) or make(*given)
    )
    found = asked(run, Design(12)).trials
    data = Digits().read()
    known = {
        one.numpy().tobytes(): label
        for one, label in zip(data.images, data.labels.tolist(), strict=True)
    }
    real = [known[trial.images[0]] for trial in found if trial.right == "real"]
    assert sorted(real) == sorted(labels)
    assert len(set(real)) > 1


def test_jpegs_make_both_kinds_jpegs(tmp_path):
    folder = pictures(tmp_path / "a", count=8, end=".jpg", quality=50)
    run = trained(
        tmp_path / "out", "data=folder", f"data.root={folder}", "iterations=1", "batch_size=4"
    )
    found = asked(run, Design(4), compress="source")
    assert found.about == {"data": "folder", "split": "train", "compress": 50}
    plain = asked(run, Design(4), compress=None)
    assert [t.right for t in plain.trials] == [t.right for t in found.trials]
    assert all(
        a.images != b.images
        for a, b in zip(plain.trials, found.trials, strict=True)
        if a.right == "fake"
    )


def run_quiz(*words):
    return run_main(lambda: command_line.call(quiz, show=tell), "show=false", *words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["n=3"], "n must be even: half of the images are real"),
        (["n=2000"], "n: 1,003 real images are wanted, and there are 382"),
        (["mode=slow"], "mode: expected 'untimed' or 'timed', got 'slow'"),
        (["compress=0"], "compress must be from 1 to 100, source or null, got 0"),
        (["seed=-1"], "seed must be at least 0, got -1"),
        (["truncation=0"], "truncation must be greater than 0, got 0"),
        (["root=x"], "root: Digits of this run has no location; leave root out"),
    ],
)
def test_mistakes_get_a_sentence(run, words, said):
    outcome = run_quiz(f"run={run}", *words)
    assert outcome.code == 2
    assert said in outcome.err
    assert not (run / "quiz").exists()


def test_data_without_held_out_images_has_no_test(tmp_path):
    run = trained(tmp_path, "iterations=1")
    assert asked(run, Design(4)).about["split"] == "train"
    outcome = run_quiz(f"run={run}", "split=test")
    assert "split: this data has no part test; leave split out" in outcome.err


def test_points_are_refused(tmp_path):
    toy = ["data=ring_2d", "data.n=64", "model=toy", "iterations=1", "batch_size=32"]
    assert run_train("trainer=smoke", "logger=csv", f"output_dir={tmp_path}", *toy).code == 0
    (run,) = runs_in(tmp_path)
    outcome = run_quiz(f"run={run}")
    assert (outcome.code, outcome.out) == (2, "")
    assert "run: it makes points, and a quiz shows images" in outcome.err


def test_missing_data_is_one_message(tmp_path):
    folder = pictures(tmp_path / "a", count=8, end=".png")
    run = trained(
        tmp_path / "out", "data=folder", f"data.root={folder}", "iterations=1", "batch_size=4"
    )
    folder.rename(tmp_path / "b")
    outcome = run_quiz(f"run={run}", "n=4", "practice=0")
    assert outcome.code == 2
    assert len(outcome.err.splitlines()) == 2
    assert str(folder) in outcome.err


@contextlib.contextmanager
def started(*words):
    """The command in a process of its own, and the address that it prints."""
    command = [sys.executable, "-m", "ganlab.quiz", "show=false", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, **pipes) as process:
        yield process, process.stdout.readline().split()[0]
        process.kill()


@pytest.mark.long
def test_the_command_asks_and_ends_with_the_result(run, opened):
    design, seed = Design(6, 2), 11
    play = Play(design, asked(run, design, seed).trials)  # the same seed: the same key
    with started(f"run={run}", "n=6", "practice=2", f"seed={seed}", "person=A. B.") as (
        process,
        url,
    ):
        page = opened(url)
        page.wait_for_selector("#go:visible")
        for number in range(len(play.trials)):
            if page.is_visible("#go"):
                page.keyboard.press("Enter")
            answered(page, play, wrong=(5,))
            answer(play)  # as far as the page is
            if number < 2:
                learnt(page, right=True)
        page.wait_for_selector("#result:visible")
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    said, file = out.splitlines()
    assert said.startswith("1 of 6 answers were wrong: 16.7% (95% interval ")
    (written,) = (run / "quiz").glob("*.json")
    assert file == str(written)
    found = json.loads(written.read_text())
    kept = {"mode": "untimed", "paired": False, "n": 6, "seed": 11, "checkpoint": "last"}
    kept |= {"iteration": 2, "truncation": None, "person": "A. B.", "data": "digits"}
    kept |= {
        "split": "test",
        "compress": None,
        "trials": 6,
        "errors": 1,
        "ganlab": ganlab.__version__,
    }
    assert {key: found[key] for key in kept} == kept
    written.unlink()
    written.parent.rmdir()


def test_an_interrupted_quiz_writes_nothing(run, monkeypatch):
    async def interrupted(*_, **__):
        """As `serve` after Ctrl-C, which tests/test_pages.py has in a process of its own."""

    monkeypatch.setattr(loopback, "serve", interrupted)
    with ThreadPoolExecutor(1) as pool:  # Playwright has a loop in this thread
        outcome = pool.submit(run_quiz, f"run={run}").result()
    assert (outcome.code, outcome.out) == (130, "")
    assert "interrupted" in outcome.err
    assert not (run / "quiz").exists()
