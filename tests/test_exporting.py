"""`ganlab export`: a folder that draws as its run does, wherever it goes, and nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

import ganlab
from commands import run_evaluate, run_main, run_sample, run_train, runs_in, smoke, trained
from exports import MODELS, RANDOM, SMALL, gan_of, run_of
from ganlab.commands import command_line
from ganlab.errors import ConfigError
from ganlab.export import export
from ganlab.exporting import example, interface, licenses, markup, needs
from ganlab.exporting.folder import FILES, require_free
from ganlab.runs.folder import EXPORTED, Run
from ganlab.storage import files

safetensors = pytest.importorskip(
    "safetensors", reason="no safetensors: pip install 'ganlab[export]'"
)
DCGAN = [*SMALL, "model=dcgan", "model.generator.width=8"]
HOSTILE = (
    "</script><img src=x onerror=alert(1)> [a](javascript:b) `|*_ ![](http://e.vil/p) www.e.vil"
)


def run_export(*words):
    return run_main(lambda: command_line.call(export, lambda w: print(*w, sep="\n")), *words)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A real run with classes, averaged weights and a watch over its health."""
    options = ["conditioning=concat", "health=watch", "health.every=1", "health.patience=5"]
    return trained(tmp_path_factory.mktemp("outputs"), *options)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """Its export, complete."""
    for library in needs.ONNX:
        pytest.importorskip(library, reason=f"no {library}: pip install 'ganlab[export]'")
    to = tmp_path_factory.mktemp("given") / "digits"
    outcome = run_export(f"run={run}", f"to={to}", "license=mit")
    assert outcome == (0, f"{to}\n", "")
    return to


def plain(tmp_path, *words, name="run", **about):
    """(run, export) of a GAN that was not trained, without ONNX."""
    run, to = run_of(tmp_path / name, *DCGAN, *words, **about), tmp_path / f"{name}-exported"
    export(run=str(run), to=str(to), onnx=False)
    return run, to


# What is written ---------------------------------------------------------------------------------


@pytest.mark.long
def test_the_folder_is_complete(exported):
    assert sorted(path.name for path in exported.iterdir()) == sorted(FILES)
    assert list(exported.parent.iterdir()) == [exported]  # no temporary folder stays
    assert all(path.stat().st_mode & 0o044 for path in exported.iterdir())


@pytest.mark.long
@pytest.mark.parametrize("model", MODELS)
def test_every_model_draws_as_its_run_does_bit_for_bit(model, tmp_path):
    words = [f"model={model}", *MODELS[model], *SMALL]
    run, to = run_of(tmp_path / "run", *words), tmp_path / "exported"
    export(run=str(run), to=str(to), onnx=False)
    mine, theirs = ganlab.load(to), ganlab.load(run)
    assert torch.equal(mine.sample(5, seed=3), theirs.sample(5, seed=3))
    if model in ("stylegan2", "dcgan"):  # w moves towards its mean; statistics are recomputed
        assert torch.equal(mine.sample(3, truncation=0.7), theirs.sample(3, truncation=0.7))
    assert (mine.spec, mine.iterations) == (theirs.spec, theirs.iterations)


def test_the_averaged_weights_are_given_with_their_statistics(run, exported):
    mine, theirs = ganlab.load(exported), ganlab.load(run)
    assert torch.equal(mine.sample(20), theirs.sample(20))
    assert not torch.equal(
        mine.sample(20), theirs.generate(theirs.fixed_latents(20), averaged=False)
    )
    assert mine.ema_decay == theirs.ema_decay > 0
    assert mine.batchnorm == theirs.batchnorm == "recomputed over 1,024 images"


def test_the_weights_are_those_of_the_generator_alone(exported):
    from safetensors import safe_open

    with safe_open(exported / EXPORTED, framework="np") as file:
        names = set(file.keys())
    assert names == set(ganlab.load(exported).generator.state_dict())


@pytest.mark.parametrize("conditioning", ["none", "concat", "infogan"])
def test_the_interface_tells_how_z_is_made(conditioning, tmp_path):
    """z made by generator.json alone has the distribution of ganlab's own."""
    run, to = plain(tmp_path, f"conditioning={conditioning}", "latent=uniform")
    about, gan = json.loads((to / "generator.json").read_text()), ganlab.load(run)
    given, random = about["input"], np.random.default_rng(0)
    parts = [
        (given["noise"], random.uniform(given["noise"]["low"], given["noise"]["high"], (500, 16)))
    ]
    for code in given["code"]:
        width = code["to"] - code["from"]
        one_hot = np.eye(width)[random.integers(width, size=500)]
        of_kind = {"one-hot": one_hot, "uniform": random.uniform(-1, 1, (500, width))}
        parts.append((code, of_kind[code["values"]]))
    assert [part["from"] for part, _ in parts] == [0, *(part["to"] for part, _ in parts[:-1])]
    mine, theirs = np.concatenate([z for _, z in parts], 1), gan.fixed_latents(500).numpy()
    assert mine.shape == theirs.shape == (500, given["shape"][1])
    assert np.allclose(mine.mean(0), theirs.mean(0), atol=0.15)
    assert np.allclose(mine.std(0), theirs.std(0), atol=0.1)
    assert about["output"]["shape"] == ["n", 1, 16, 16]


def test_names_of_classes_are_given(tmp_path):
    names = [f"digit {i}" for i in range(10)]
    _, to = plain(tmp_path, "conditioning=concat", class_names=names)
    about = json.loads((to / "generator.json").read_text())
    assert about["input"]["code"] == [
        {"from": 16, "to": 26, "kind": "class", "values": "one-hot", "names": names}
    ]
    assert ganlab.load(to).class_names == names
    outcome = run_sample(f"run={to}", "n=2", "labels=[digit 3]")
    assert outcome.code == 0, outcome.err


def test_a_prior_of_ones_own_is_refused(tmp_path):
    class Own:
        dim = 4

    gan = ganlab.load(run_of(tmp_path / "run", *DCGAN))
    gan.latent = Own()
    with pytest.raises(ConfigError, match=r"^latent: .*got test_exporting\.Own$"):
        interface.noise(gan)


ALONE = """
import runpy, sys
seen = runpy.run_path(sys.argv[1])
assert not {"torch", "ganlab", "pytorch_lightning"} & set(sys.modules)
import numpy as np
np.savez("seen.npz", z=seen["z"], sheet=seen["sheet"])
"""


def test_the_example_draws_without_ganlab_what_pytorch_draws(exported, tmp_path):
    """In an empty folder; its picture is within one grey level of PyTorch's."""
    from PIL import Image

    words = [sys.executable, "-c", ALONE, str(exported / "example.py")]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drawn.png", "seen.npz"]
    seen, drawn = np.load(tmp_path / "seen.npz"), np.asarray(Image.open(tmp_path / "drawn.png"))
    images = ganlab.load(exported).generate(torch.from_numpy(seen["z"]))
    sheet = torch.cat([torch.cat(list(row), dim=2) for row in images.split(4)], dim=1)[0]
    assert np.abs(seen["sheet"] - sheet.numpy()).max() < 1e-4
    levels = ((sheet.numpy() + 1) * 127.5).round()
    assert np.abs(drawn.astype(float) - levels).max() <= 1


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["conditioning=infogan"],
        [
            "conditioning=projection",
            "data=cifar10",
            "model=resnet",
            "latent=uniform",
            *MODELS["resnet"],
        ],
        ["data=ring_2d", "model=toy"],
        ["data=gaussian_1d", "model=toy"],
    ],
    ids=["grey", "codes", "colour", "plane", "line"],
)
def test_the_example_of_every_kind_runs(words, tmp_path, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime", reason="no onnxruntime")
    gan = gan_of(*SMALL, *words)

    class Session:
        """Draws by PyTorch: making ONNX of everything takes minutes."""

        def __init__(self, path):
            assert path == tmp_path / "generator.onnx"

        def run(self, names, given):
            z = given["z"]
            assert z.dtype == np.float32
            assert names == [interface.output_of(gan)]
            return [gan.generate(torch.from_numpy(z)).numpy()]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "example.py"
    script.write_text(example.script(gan))
    exec(compile(script.read_text(), script, "exec"), {"__file__": str(script)})
    assert [file.name for file in tmp_path.glob("drawn.*")]
    drawn = "drawn.csv" if "PIL" not in script.read_text() else "drawn.png"
    pillow = ", NumPy and Pillow" if drawn == "drawn.png" else " and NumPy"
    said = f"Draws with ONNX Runtime{pillow}, and saves {drawn} in the working folder."
    assert script.read_text().startswith(f'"""{said}"""')
    assert (tmp_path / drawn).exists()
    body = script.read_text().partition("from PIL import Image\n")[2]
    assert len([line for line in body.splitlines() if line]) <= 11


# The model card ----------------------------------------------------------------------------------


def front_matter(card):
    return yaml.safe_load(card.split("---\n")[1])


def test_the_card_says_what_is_known(run, exported):
    card = (exported / "README.md").read_text()
    about = front_matter(card)
    assert (about["license"], about["library_name"]) == ("mit", "ganlab")
    assert {"gan", "dcgan", "onnx"} <= set(about["tags"])
    for text in (
        "This generator has not been scored.",
        "no ailment was found",
        "100 to 109: class, one-hot",
        " trainer=smoke logger=csv",
        f"{(exported / EXPORTED).stat().st_size:,} bytes",
        f"{interface.parameters(ganlab.load(run)):,} parameters",
    ):
        assert text in card
    assert "None" not in card


def test_scores_stand_with_their_protocol_and_only_those_of_these_weights(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    outcome = run_evaluate(f"run={copy}", "n=100", "real=100", "kept=100", "baselines=false")
    assert outcome.code == 0, outcome.err
    (record,) = Run(copy).summary()["scores"]
    Run(copy).note_scores([{**record, "iterations": 1}])
    export(run=str(copy), to=str(tmp_path / "to"), onnx=False)
    card = (tmp_path / "to" / "README.md").read_text()
    name = record["scores"]["frechet"]["name"]
    assert card.count(f"`{name}`") == 1
    assert "100 generated (averaged weights, seed 0" in card
    assert "(protocol 1)" in card
    assert "(protocol 2)" not in card


def test_nothing_in_a_card_does_more_than_show(tmp_path):
    markdown = pytest.importorskip("markdown_it", reason="no markdown-it-py")
    run = run_of(
        tmp_path / HOSTILE.replace("/", "") / "run",
        *SMALL,
        "conditioning=concat",
        class_names=[HOSTILE, "a\n\n# b", "\u202eevil\x1b[0m", *"3456789"],
    )
    verdict = {"ailment": HOSTILE, "iteration": 3, "since": 1, "evidence": HOSTILE, "advice": ""}
    Run(run).summary_file.write_text(json.dumps({"health": [verdict]}))
    words = ["x/train.py", f"a={HOSTILE}", "b=```\n\n# c"]
    Run(run).environment_file.write_text(
        json.dumps({"command": words, "libraries": {HOSTILE: "1"}})
    )
    config = Run(run).config() | {"health": {"action": HOSTILE}}
    config["data"]["size"] = 16
    config["recipe"] = {"source": HOSTILE, "differs": [HOSTILE]}
    Run(run).config_file.write_text(yaml.safe_dump(config))
    export(run=str(run), to=str(tmp_path / "to"), onnx=False, license="mit")
    card = (tmp_path / "to" / "README.md").read_text()
    end = card.index("\n---\n", 4)
    assert yaml.safe_load(card[4:end])["license"] == "mit"
    page = (
        markdown.MarkdownIt("gfm-like", {"html": True, "linkify": False})
        .enable("table")
        .render(card[end + 5 :])
    )
    tags = set(re.findall(r"<(\w+)", page))
    assert not tags & {"script", "a"}
    assert re.findall(r"<img[^>]*>", page) == [
        '<img src="samples.png" alt="samples of the generator" />'
    ]
    assert page.count("<h1>") == 1
    assert page.count("onerror") >= 5
    assert not re.search("[\x1b\u202e]", card)


@pytest.mark.parametrize(
    "value", ["a|b", "`", "``a`", "|", "", "a\\", "*x*", "\t", "http://a", "www.a.b"]
)
def test_a_value_in_a_table_shows_as_itself(value):
    markdown = pytest.importorskip("markdown_it", reason="no markdown-it-py")
    table = markup.table([(markup.code(value), markup.text(value))], ("a", "b"))
    page = markdown.MarkdownIt("commonmark").enable("table").render(table)
    cells = re.findall(r"<td>(.*?)</td>", page, re.DOTALL)
    shown = " ".join(value.split())
    assert [re.sub("</?code>", "", cell).strip() for cell in cells] == [shown, shown]


def test_secrets_and_the_home_folder_stay_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("MAIL_PASSWORD", "swordfish-9")
    run = run_of(tmp_path / "run", *DCGAN)
    config = Run(run).config()
    config["output_dir"] = "/home/somebody/outputs"
    config["callback"] = {
        "mail": {"_target_": "x.Y", "address": "swordfish-9", "api_key": "k1234567"}
    }
    Run(run).config_file.write_text(yaml.safe_dump(config))
    words = ["train.py", "a=swordfish-9", "callback.mail.api_key=k1234567", "b=/home/somebody/x"]
    Run(run).environment_file.write_text(json.dumps({"command": words}))
    export(run=str(run), to=str(tmp_path / "to"), onnx=False)
    everything = b"".join(path.read_bytes() for path in (tmp_path / "to").iterdir())
    for secret in (b"swordfish", b"k1234567", b"somebody"):
        assert secret not in everything
    assert b"b=~/x" in everything


@pytest.mark.parametrize(
    "name", ["mit", "apache-2.0", "openrail++", "llama3.1", "cc0-1.0", "other"]
)
def test_a_license_that_the_hub_names_passes(name):
    licenses.require_named(name)


@pytest.mark.parametrize("name", ["-", "mit\n", "a: [\n---", HOSTILE, "cc by 4.0", "mit-", "m it"])
def test_what_is_no_name_of_a_license_is_refused(name):
    with pytest.raises(ConfigError, match=r"^license: expected a name of the Hub's"):
        licenses.require_named(name)


# Where it goes -----------------------------------------------------------------------------------


def test_an_earlier_export_of_the_run_is_replaced_whole(tmp_path):
    run, to = plain(tmp_path)
    (to / "example.py").write_text("old")
    export(run=str(run), to=str(to), onnx=False)
    assert not (to / "example.py").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "run-exported"]


@pytest.mark.parametrize("what", ["a file of mine", "another run", "a file", "a link", "no JSON"])
def test_anything_else_stays_as_it_is(what, tmp_path):
    run, to = plain(tmp_path)
    if what == "a file of mine":
        (to / "notes.txt").write_text("mine")
    elif what == "another run":
        other = run_of(tmp_path / "other", *DCGAN, "seed=1")
        shutil.rmtree(to)
        export(run=str(other), to=str(to), onnx=False)
    elif what == "a file":
        shutil.rmtree(to)
        to.write_text("mine")
    elif what == "a link":
        to.rename(tmp_path / "elsewhere")
        to.symlink_to(tmp_path / "elsewhere")
    else:
        (to / "generator.json").write_text("{")
    before = {p: p.read_bytes() for p in sorted(tmp_path.rglob("*")) if p.is_file()}
    outcome = run_export(f"run={run}", f"to={to}", "onnx=false")
    assert outcome.code == 2
    assert "1 mistake, nothing was started" in outcome.err
    assert before == {p: p.read_bytes() for p in sorted(tmp_path.rglob("*")) if p.is_file()}


def test_a_full_disk_leaves_the_earlier_export(tmp_path, monkeypatch):
    run, to = plain(tmp_path)
    before = {p.name: p.read_bytes() for p in to.iterdir()}

    def full(path, content):
        if path.name == "README.md":
            raise OSError(28, "No space left on device", str(path))
        write(path, content)

    write = files.write
    monkeypatch.setattr(files, "write", full)
    outcome = run_export(f"run={run}", f"to={to}", "onnx=false")
    assert outcome.code == 1
    assert "No space left" in outcome.err
    assert before == {p.name: p.read_bytes() for p in to.iterdir()}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "run-exported"]


def test_onnx_that_draws_otherwise_is_not_given_away(tmp_path, monkeypatch):
    for library in needs.ONNX:
        pytest.importorskip(library, reason=f"no {library}: pip install 'ganlab[export]'")
    from ganlab.exporting import onnx

    run = run_of(tmp_path / "run", *DCGAN)
    monkeypatch.setattr(onnx, "difference", lambda *_: 0.25)
    outcome = run_export(f"run={run}", f"to={tmp_path / 'to'}")
    assert outcome.code == 2
    assert "up to 0.25 away from PyTorch's" in outcome.err
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("library", [*needs.WEIGHTS, *needs.ONNX, *needs.HUB])
def test_a_missing_library_is_named_before_any_work(library, tmp_path, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == library else found(n))
    outcome = run_export("run=/nowhere", f"to={tmp_path / 'to'}", "push=alice/digits")
    assert outcome.code == 2
    assert f"{library} is not installed: pip install 'ganlab[export]'" in outcome.err
    outcome = run_export("run=/nowhere", f"to={tmp_path / 'to'}", "onnx=false")
    assert ("not installed" in outcome.err) == (library in needs.WEIGHTS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run=nowhere"], "is no run: it has no config.yaml"),
        (["checkpoint=7"], "has no '7'"),
        (["checkpoint=best"], "no checkpoint with a best score"),
        (["run=EXPORT"], "is an export already"),
        (["to=RUN"], "which ganlab did not write; move it away, or name a new folder"),
        (["to=/dev/null/x"], "to: cannot write to '/dev/null': Not a directory"),
        (["push=alice"], "expected USER/NAME, got 'alice'"),
        (["private=false"], "private: is for an upload; leave it out, or set push=USER/NAME"),
        (["private=true"], "private: is for an upload"),
        (["license=my license"], "got 'my license'; 'other' is one that the Hub has no name for"),
        (
            ["license=MIT"],
            "license: expected a name of the Hub's such as mit or cc-by-4.0, got 'MIT'",
        ),
        (["license=Apache 2.0"], "got 'Apache 2.0'; did you mean 'apache-2.0'?"),
        (["license=''"], "license: expected a name"),
    ],
)
def test_mistakes_are_one_message(words, message, tmp_path):
    run, to = plain(tmp_path)
    spelled = [w.replace("EXPORT", str(to)).replace("RUN", str(run)) for w in words]
    given = dict(word.split("=", 1) for word in (f"run={run}", f"to={tmp_path / 'new'}", *spelled))
    outcome = run_export("onnx=false", *(f"{k}={v}" for k, v in given.items()))
    assert outcome.code == 2
    assert message in outcome.err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("model", RANDOM)
def test_a_generator_that_is_no_graph_is_refused_and_its_weights_are_given(model, tmp_path):
    for library in needs.ONNX:
        pytest.importorskip(library, reason=f"no {library}: pip install 'ganlab[export]'")
    run, to = run_of(tmp_path / "run", f"model={model}", *MODELS[model], *SMALL), tmp_path / "new"
    refused = run_export(f"run={run}", f"to={to}")
    assert refused.code == 2
    assert re.search(r"onnx: a \w+ draws random numbers .* onnx=false\n$", refused.err)
    assert not to.exists()
    assert run_export(f"run={run}", f"to={to}", "onnx=false").code == 0
    assert ganlab.load(to).sample(2).shape == (2, 1, 16, 16)


# What it can, and what it cannot -----------------------------------------------------------------


def test_it_is_sampled_like_a_run(run, exported, tmp_path):
    there = run_sample(f"run={exported}", "n=4", "sheets=true", f"output={tmp_path / 'a'}")
    mine = run_sample(f"run={run}", "n=4", "sheets=true", f"output={tmp_path / 'b'}")
    assert (there.code, mine.code) == (0, 0)
    assert {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "b").iterdir()
    }


def test_samples_lie_beside_it_where_nothing_else_is_said(tmp_path):
    _, to = plain(tmp_path)
    assert run_sample(f"run={to / EXPORTED}", "n=1").code == 0
    assert [p.suffix for p in (to / "sampled").iterdir()] == [".png"]


def test_points_are_sampled_over_their_data(tmp_path):
    run = run_of(tmp_path / "run", "data=ring_2d", "model=toy")
    export(run=str(run), to=str(tmp_path / "to"), onnx=False)
    assert run_sample(f"run={tmp_path / 'to'}").code == 0


def test_it_scores_like_its_run(run, exported, tmp_path):
    copies = [tmp_path / "run", tmp_path / "export"]
    shutil.copytree(run, copies[0])
    shutil.copytree(exported, copies[1])
    words = ["n=100", "real=100", "kept=100", "baselines=false"]
    outcomes = [run_evaluate(f"run={copy}", *words) for copy in copies]
    assert [one.code for one in outcomes] == [0, 0], outcomes
    mine, theirs = (Run(copy).summary()["scores"] for copy in copies)
    assert mine == theirs


def test_it_says_what_it_cannot(exported, tmp_path):
    gan = ganlab.load(exported)
    with pytest.raises(AttributeError, match="has no 'discriminator'; it was exported: of its GAN"):
        _ = gan.discriminator
    assert not any(parameter.requires_grad for parameter in gan.parameters())
    words = [w for w in smoke(tmp_path, "conditioning=concat") if "health" not in w]
    resumed = run_train(*words, f"resume={exported}")
    started = run_train(*words, f"start={exported}")
    assert (resumed.code, started.code) == (2, 2)
    assert f"resume: '{exported}' is an export: its generator alone is there" in resumed.err
    assert f"start: '{exported}' is an export, and has no checkpoint" in started.err
    assert runs_in(tmp_path) == []


def test_images_are_found_in_it_by_their_pixels(exported, tmp_path):
    from ganlab.invert import invert

    written = invert(str(exported), "train:0", starts=2, steps=2, label=0, output=str(tmp_path))
    assert [path.suffix for path in written] == [".png", ".json", ".npz"]


def test_it_has_no_checkpoints_to_choose(exported):
    for which in ("best", "3"):
        with pytest.raises(ConfigError, match=f"is an export and has no '{which}'"):
            ganlab.load(exported, which)


# A folder from a stranger ------------------------------------------------------------------------


@pytest.fixture
def given(tmp_path):
    """An export that a test may spoil."""
    return plain(tmp_path)[1]


def rewritten(folder, change):
    """Writes the weights anew, as a stranger may: `change` gets the tensors and the header."""
    from safetensors.torch import save_file

    from ganlab.exporting import weights

    tensors, about = weights.read(folder / EXPORTED)
    header = change(tensors, about.model_dump()) or about.model_dump()
    header["sha256"] = weights.digest(tensors)
    save_file(tensors, folder / EXPORTED, {weights.KEY: json.dumps(header)})


def missing(tensors, header):
    tensors.pop(next(iter(tensors)))


def reshaped(tensors, header):
    name = next(iter(tensors))
    tensors[name] = tensors[name].flatten().clone()


def further(tensors, header):
    tensors["more"] = torch.zeros(1)


def huge(tensors, header):
    return {**header, "spec": {"channels": 1, "size": 2**60, "classes": 0}}


def large(tensors, header):
    return {**header, "spec": {"channels": 2**17, "size": 2**17, "classes": 0}}


def points(tensors, header):
    return {**header, "spec": {"dim": 3}}


def unknown(tensors, header):
    return {**header, "more": 1}


def negative(tensors, header):
    return {**header, "iterations": -1}


SPOILED = [missing, reshaped, further, huge, large, points, unknown, negative]


@pytest.mark.parametrize("change", SPOILED)
def test_weights_that_do_not_fit_are_refused(change, given):
    rewritten(given, change)
    outcome = run_sample(f"run={given}", "n=1")
    assert outcome.code == 2
    assert outcome.err.startswith("ganlab: 1 mistake, nothing was started\n  ")
    assert EXPORTED in outcome.err or "config.yaml" in outcome.err or "model" in outcome.err


@pytest.mark.parametrize("place", [4, 300, -5, None])
def test_damage_is_seen(place, given):
    content = bytearray((given / EXPORTED).read_bytes())
    if place is None:
        content = content[: len(content) // 2]
    else:
        content[place] ^= 1
    (given / EXPORTED).write_bytes(content)
    with pytest.raises(ConfigError, match=r"generator\.safetensors' is"):
        ganlab.load(given)


def test_a_file_of_somebody_else_is_refused(given):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, given / EXPORTED)
    with pytest.raises(ConfigError, match="is not ganlab's, or damaged: spec: field required"):
        ganlab.load(given)


def test_what_is_no_file_is_refused_at_once(given):
    (given / EXPORTED).unlink()
    os.mkfifo(given / EXPORTED)
    with pytest.raises(ConfigError, match="it is no regular file"):
        ganlab.load(given)


@pytest.mark.parametrize("key", ["model", "latent", "conditioning"])
def test_foreign_classes_are_built_only_on_trust(key, given):
    config = yaml.safe_load((given / "config.yaml").read_text())
    node = config[key]["generator"] if key == "model" else config[key]
    node["_target_"] = "os.system"
    (given / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ConfigError, match=r"names os\.system; set trust=true"):
        ganlab.load(given)


def test_nothing_that_only_trains_is_built(given):
    """So a loss of one's own does not need to be there."""
    config = yaml.safe_load((given / "config.yaml").read_text())
    config["loss"] = {"_target_": "not.installed.Loss"}
    (given / "config.yaml").write_text(yaml.safe_dump(config))
    assert ganlab.load(given).sample(1).shape == (1, 1, 16, 16)


def test_loading_without_safetensors_says_how_to_get_it(given, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="safetensors is not installed: pip install"):
        ganlab.load(given)


def test_a_new_folder_may_be_anywhere(tmp_path):
    run = run_of(tmp_path / "run", *DCGAN)
    require_free(tmp_path / "a" / "b" / "c", Run(run))
    (tmp_path / "empty").mkdir()
    require_free(tmp_path / "empty", Run(run))
    export(run=str(run), to=str(tmp_path / "empty"), onnx=False)
    export(run=str(run), to=str(tmp_path / "a" / "b" / "c"), onnx=False)
    assert ganlab.load(tmp_path / "a" / "b" / "c").iterations == 3
