"""Every mistake is one plain sentence, exit code 2, and nothing is started or written."""

import re

import pytest
import yaml
from PIL import Image

from commands import Outcome, completed, run_main, run_train, runs_in, smoke
from ganlab.config.checks import conf_dir
from ganlab.experiments.experiment import Experiment
from ganlab.storage import decoding

LOSSES, MODELS, REGULARIZERS, OPTIMIZERS, SCALES = (
    ", ".join(sorted(file.stem for file in (conf_dir() / group).glob("*.yaml")))
    for group in ("loss", "model", "regularizer", "optim", "scale")
)
SIZES = "dcgan takes images of size 28 or 8, 16, 32, 64, 128, ...; got 1 x 20 x 20"
SUFFIXES = ", ".join(sorted(decoding.SUFFIXES))


def refused(*sentences: str) -> Outcome:
    """What a command leaves that refuses its words with these sentences."""
    count = "1 mistake" if len(sentences) == 1 else f"{len(sentences)} mistakes"
    lines = "".join(f"  {sentence}\n" for sentence in sentences)
    return Outcome(2, "", f"ganlab: {count}, nothing was started\n{lines}")


@pytest.fixture
def out(tmp_path):
    """An output_dir that may not be there when the test is over."""
    folder = tmp_path / "out"
    yield folder
    assert not folder.exists(), "a refused command left something behind"


NAMES = {
    "loss=hing": f"loss: there is no 'hing'; did you mean 'hinge'? ({LOSSES})",
    "model=zzz": f"model: there is no 'zzz' ({MODELS})",
    "logger=[csv,tensorbord]": (
        "logger: there is no 'tensorbord'; did you mean 'tensorboard'? (csv, tensorboard, wandb)"
    ),
    "regularizer=[r1,weight_clp]": (
        f"regularizer: there is no 'weight_clp'; did you mean 'weight_clip'? ({REGULARIZERS})"
    ),
    "optim@g_optimizer=sdg": (
        f"optim@g_optimizer: there is no 'sdg'; did you mean 'sgd'? ({OPTIMIZERS})"
    ),
    "scale=digits-dcgn": (
        f"scale: there is no 'digits-dcgn'; did you mean 'digits-dcgan'? ({SCALES})"
    ),
    "batchsize=3": "batchsize: unknown; did you mean 'batch_size'?",
    "+batchsize=3": "batchsize: unknown; did you mean 'batch_size'?",
    "model.generator.widht=3": (
        "model.generator.widht: DCGANGenerator takes no 'widht'; did you mean 'width'?"
    ),
    "loss.foo=1": "loss.foo: NonSaturating takes no 'foo'",
    "g_optimizer.wieght_decay=0.1": (
        "g_optimizer.wieght_decay: Adam takes no 'wieght_decay'; did you mean 'weight_decay'?"
    ),
    "model.generatr.width=8": "model.generatr: unknown; did you mean 'generator'?",
    "g_optimizer=sgd": "g_optimizer: set optim@g_optimizer=sgd",
    "d_schedule=cosine": "d_schedule: set schedule@d_schedule=cosine",
    "loss._target_=ganlab.losses.Hing": (
        "loss: there is no 'ganlab.losses.Hing'; did you mean 'ganlab.losses.Hinge'?"
    ),
    "loss._target_=no_module.Hinge": (
        "loss: there is no 'no_module.Hinge' (No module named 'no_module')"
    ),
}
OWN = {
    "+trainer.max_steps=1": "trainer.max_steps: ganlab itself sets it; set iterations=...",
    "trainer.gradient_clip_val=1": (
        "trainer.gradient_clip_val: ganlab itself sets it; set g_clip=... or d_clip=..."
    ),
    "+gan.seed=5": "gan.seed: ganlab itself sets it",
    "+model.generator.latent_dim=5": "model.generator.latent_dim: ganlab itself sets it",
}
VALUES = {
    "seed=abc": "seed: expected int, got 'abc'",
    "batch_size=8.5": "batch_size: expected int, got 8.5",
    "ema=high": "ema: expected float or a group of settings or null, got 'high'",
    "ema.ramp=0.1": "ema: ramp must be at most ln 2 / 9 = 0.077, got 0.1",
    "ema.ramp=null": "ema: half_life, in images, or ramp, a share of the images so far: set one",
    "ema_statistics=standing": (
        "ema_statistics: expected 'copy' or 'average' or 'recompute', got 'standing'"
    ),
    "d_steps=null": "d_steps: expected int, got None",
    "model.generator.width=1.5": "model.generator.width: expected int, got 1.5",
    "g_optimizer.betas=0.5": "g_optimizer.betas: expected tuple[",
    "~loss": "'~loss': a choice cannot be taken away; set loss=...",
    "data=folder": "data.root: missing; set data.root=...",
    "d_steps=0": "d_steps must be at least 1, got 0",
    "batch_size=0": "batch_size must be at least 1, got 0",
    "iterations=0": "iterations must be at least 1, got 0",
    "log_every=0": "log_every must be at least 1, got 0",
    "seed=-1": "seed must be at least 0, got -1",
    "g_clip=-1": "g_clip must be greater than 0, got -1.0",
    "d_clip=0": "d_clip must be greater than 0, got 0.0",
    "g_accumulate=0": "g_accumulate must be at least 1, got 0",
    "ema=1.5": "ema must be at least 0 and less than 1, got 1.5",
    "g_optimizer.lr=-1": "g_optimizer: Invalid learning rate: -1.0",
    "d_optimizer.lr=-0.1": "d_optimizer: Invalid learning rate: -0.1",
    "latent.dim=0": "latent: dim must be at least 1, got 0",
    "model.discriminator.width=0": "model.discriminator: width must be at least 1, got 0",
    "data.size=2": "data: size must be at least 4, got 2",
    "data.size=20": f"model.generator: {SIZES}",
    "regularizer=r1": (
        "regularizer.r1 looks at the gradient of each image by itself, which BatchNorm mixes with "
        "the others' (Gulrajani et al. 2017, section 4); set model.discriminator.norm=layer or none"
    ),
    "seed=0,1": "'seed=0,1': several values are a sweep; add -m",
    "seed": "'seed': expected key=value",
    "resume=nowhere": "'nowhere' is no run: it has no config.yaml",
    "loss._target_=3.7": "loss: _target_: expected a dotted path, got 3.7",
    "loss._target_=null": "loss: _target_: expected a dotted path, got None",
    "loss._target_={a:1}": "loss: _target_: expected a dotted path, got {'a': 1}",
    "loss._target_=print": (
        "loss: _target_: expected a path such as my_module.MyClass, got 'print'"
    ),
    "loss._target_=.a.b": ("loss: _target_: expected a path such as my_module.MyClass, got '.a.b'"),
    "loss._target_=builtins.open": "loss.file: missing; set loss.file=...",
    "loss._target_=builtins.min": (
        "loss: 'builtins.min' is not a class or a function that ganlab can call"
    ),
    "augment._target_=os.getcwd": "augment: str is no ganlab.augment.Augment",
    "loss._args_=[1]": ("loss._args_: ganlab passes arguments by name; set them by their names"),
    "_target_=os.getcwd": "_target_: unknown",
    "metrics._target_=os.getcwd": "metrics: str is no ganlab.scoring.plans.Plan",
    "mirror={}": "mirror: expected bool, got {}",
    "checkpoint_every={}": "checkpoint_every: expected int, got {}",
    "profile={a:1}": "profile: expected bool, got {'a': 1}",
    "g_optimizer._partial_=inf": "g_optimizer._partial_: expected bool, got inf",
    "metrics=[1,2,3]": ("metrics: expected names of choices, got 1 (classifier, inception, none)"),
    "regularizer=[r1,r1]": "regularizer: 'r1' is listed twice",
    "output_dir=''": "output_dir must name a folder, got ''",
}


@pytest.mark.parametrize("override", NAMES)
def test_a_name_that_does_not_exist_is_answered_with_the_nearest(out, override):
    assert run_train(*smoke(out, override)) == refused(NAMES[override])


@pytest.mark.parametrize("override", OWN)
def test_what_ganlab_itself_sets_is_refused_with_what_to_say_instead(out, override):
    assert run_train(*smoke(out, override)) == refused(OWN[override])


@pytest.mark.parametrize("override", VALUES)
def test_a_value_that_cannot_be_is_named_with_what_was_expected(out, override):
    outcome = run_train(*smoke(out, override))
    if override == "g_optimizer.betas=0.5":  # how torch spells this type varies
        assert outcome.code == 2
        assert VALUES[override] in outcome.err
    else:
        assert outcome == refused(VALUES[override])


def test_several_mistakes_are_all_told_at_once(out):
    wrong = ["loss=hing", "batchsize=3", "model.generator.widht=3", "seed=abc", "ema=high"]
    assert run_train(*smoke(out, *wrong)) == refused(
        NAMES["loss=hing"],
        VALUES["seed=abc"],
        VALUES["ema=high"],
        NAMES["model.generator.widht=3"],
        NAMES["batchsize=3"],
    )


def test_what_stands_in_for_an_unknown_choice_is_not_blamed(out):
    """The default loss takes no energies; nobody has asked for it."""
    wrong = f"loss: there is no 'begn'; did you mean 'began'? ({LOSSES})"
    given = ["trainer=smoke", "logger=csv", f"output_dir={out}", "model=autoencoder"]
    assert run_train(*given, "loss=begn") == refused(wrong)
    assert run_train(*given) == refused(WANTS_LOGITS)


def test_several_values_out_of_range_are_all_told_at_once(out):
    wrong = ["g_clip=-1", "d_optimizer.lr=-0.1", "latent.dim=0", "data.size=2"]
    outcome = run_train(*smoke(out, *wrong))
    sentences = {VALUES[o] for o in wrong}
    assert {line.strip() for line in outcome.err.splitlines()[1:]} == sentences
    assert outcome.err.startswith("ganlab: 4 mistakes, nothing was started\n")


def test_several_counts_out_of_range_are_several_mistakes(out):
    wrong = ["d_steps=0", "batch_size=0", "log_every=0"]
    assert run_train(*smoke(out, *wrong)) == refused(*(VALUES[o] for o in wrong))


def test_batchnorm_of_one_image_is_refused_before_anything_starts(out):
    """infogan's layers have one number per image and channel."""
    words = ["trainer=smoke", "logger=csv", f"output_dir={out}", "model=infogan"]
    needs = "BatchNorm of single numbers needs two images in each part of a minibatch"
    assert run_train(*words, "batch_size=1") == refused(f"batch_size: {needs}, got 1 in 1")
    eleven = refused(f"batch_size: {needs}, got 11 in 6")
    assert run_train(*words, "batch_size=11", "g_accumulate=6") == eleven
    assert run_train(*words, "batch_size=11", "d_accumulate=6") == eleven
    Experiment(**completed("model=infogan", "batch_size=11", "g_accumulate=5")).rehearse()


def test_an_unknown_key_of_hydra_is_not_taken_for_a_parameter(out):
    outcome = run_train(*smoke(out, "hydra.sweper.dir=elsewhere"))
    assert outcome.code == 2
    assert "hydra.sweper.dir" in outcome.err


def test_a_config_folder_that_is_not_there_is_named(out, tmp_path):
    missing = tmp_path / "my_conf"
    outcome = run_train(*smoke(out), "--config-dir", str(missing))
    assert outcome == refused(f"--config-dir: there is no folder '{missing}'")


def test_an_output_folder_that_cannot_be_written_is_named(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    outcome = run_train(*smoke(file / "below"))
    assert outcome == refused(f"output_dir: cannot write to '{file / 'below'}': Not a directory")
    assert file.read_text() == "mine"


# Data -------------------------------------------------------------------------------------------


def folder(root) -> list[str]:
    return ["data=folder", f"data.root={root}"]


def test_a_data_folder_that_is_not_there_is_named(out, tmp_path):
    outcome = run_train(*smoke(out, *folder(tmp_path / "none")))
    assert outcome == refused(f"data.root: there is no folder, zip or tar '{tmp_path / 'none'}'")


def test_inception_does_not_look_at_transparency(out, tmp_path):
    Image.new("RGBA", (16, 16)).save(tmp_path / "a.png")
    words = [*folder(tmp_path), "data.channels=4", "metrics=inception"]
    assert run_train(*smoke(out, *words)) == refused(
        "metrics=inception: Inception looks at grey or RGB images, and this data has 4 channels; "
        "set data.channels=3 or metrics=none"
    )


def test_a_folder_without_images_is_named_with_the_suffixes_that_count(out, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no image")
    outcome = run_train(*smoke(out, *folder(tmp_path / "empty")))
    assert outcome == refused(f"data.root: no images ({SUFFIXES}) in '{tmp_path / 'empty'}'")


def test_a_file_that_is_no_folder_and_no_zip_is_named(out, tmp_path):
    (tmp_path / "archive.zip").write_bytes(b"no zip")
    (sentence,) = told(run_train(*smoke(out, *folder(tmp_path / "archive.zip"))))
    path = tmp_path / "archive.zip"
    assert sentence == f"data.root: '{path}' is no zip: File is not a zip file"


def told(outcome: Outcome) -> list[str]:
    """The sentences of a refusal."""
    lines = [line.removeprefix("  ") for line in outcome.err.splitlines()[1:]]
    assert outcome == refused(*lines)
    return lines


def test_a_damaged_first_image_is_named(out, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "0.png").write_bytes(b"no image")
    Image.new("L", (16, 16)).save(tmp_path / "images" / "1.png")
    outcome = run_train(*smoke(out, *folder(tmp_path / "images")))
    where = tmp_path / "images" / "0.png"
    assert outcome == refused(f"data: '{where}': not an image, or damaged")


def test_a_damaged_later_image_is_named_and_once_repaired_the_same_command_runs(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(9):
        Image.new("L", (16, 16), 20 * i).save(tmp_path / "images" / f"{i}.png")
    damaged = tmp_path / "images" / "7.png"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:40])
    words = smoke(tmp_path / "out", *folder(tmp_path / "images"))
    outcome = run_train(*words)
    assert outcome.code == 2
    assert f"data: 1 of 9 images cannot be used:\n  '{damaged}': " in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "out").exists()
    damaged.write_bytes(whole)
    assert run_train(*words).code == 0


@pytest.mark.parametrize(
    ("mode", "size", "reason"),
    [
        (
            *("L", (16, 8)),
            "16 x 8 pixels, not square; set data.size=16 data.fit=pad (or crop, or squeeze)",
        ),
        (
            *("RGBA", (16, 16)),
            (
                "transparent; set data.background=white (or another colour) to lay it on, "
                "data.channels=4 to keep transparency, or data.channels=3 to drop it"
            ),
        ),
        ("F", (16, 16), "mode F (32 bits); save it with 8 bits per channel"),
    ],
)
def test_images_that_would_have_to_be_changed_are_refused_with_the_remedy(
    out, tmp_path, mode, size, reason
):
    (tmp_path / "images").mkdir()
    name = "0.tif" if mode == "F" else "0.png"
    Image.new(mode, size).save(tmp_path / "images" / name)
    outcome = run_train(*smoke(out, *folder(tmp_path / "images")))
    assert outcome == refused(f"data: '{tmp_path / 'images' / name}': {reason}")


def test_a_named_data_set_that_is_missing_and_must_not_be_downloaded_is_named(out, tmp_path):
    root = tmp_path / "nothing"
    words = ["data=mnist", f"data.root={root}", "data.download=false"]
    (sentence,) = told(run_train(*smoke(out, *words)))
    assert sentence.startswith(f"MNIST (train) is missing or damaged in '{root}': ")
    assert not root.exists()


# Cells ------------------------------------------------------------------------------------------

BATCHNORM = (
    "looks at the gradient of each image by itself, which BatchNorm mixes with the others' "
    "(Gulrajani et al. 2017, section 4); set model.discriminator.norm=layer or none"
)
WANTS_ENERGIES = (
    "loss: BEGAN takes energies, the errors of an autoencoder, and DCGANDiscriminator gives "
    "logits; set model=autoencoder"
)
WANTS_LOGITS = (
    "loss: NonSaturating takes logits, and AutoencoderDiscriminator gives energies, the errors of "
    "an autoencoder; set loss=ebgan or loss=began, or another model"
)
NO_LOGIT = (
    "conditioning: Projection makes or changes a logit, and AutoencoderDiscriminator gives "
    "energies; set conditioning=concat, acgan or infogan, or another model"
)
CELLS = {  # command line -> every reason why its parts cannot work together
    "loss=began model=dcgan": [WANTS_ENERGIES],
    "model=autoencoder": [WANTS_LOGITS],
    "loss=wasserstein regularizer=gradient_penalty": [f"regularizer.gradient_penalty {BATCHNORM}"],
    "loss=began regularizer=[gradient_penalty,r1]": [
        WANTS_ENERGIES,
        f"regularizer.gradient_penalty {BATCHNORM}",
        f"regularizer.r1 {BATCHNORM}",
    ],
    "model=autoencoder conditioning=projection": [
        WANTS_LOGITS,
        NO_LOGIT,
    ],
    "model=tutorial": ["model.generator: tutorial takes images of size 28; got 1 x 16 x 16"],
}


@pytest.mark.parametrize("line", CELLS)
def test_parts_that_cannot_work_together_are_refused_with_all_reasons_at_once(out, line):
    where = ["trainer=smoke", "logger=csv", f"output_dir={out}"]
    outcome = run_train(*where, *line.split())
    assert (outcome.code, outcome.out) == (2, "")
    head, said = outcome.err.split("\n", 1)
    assert head.endswith(", nothing was started")
    assert (
        re.split(r"(?:; |\n)\s*(?=loss:|regularizer\.|conditioning:)", said.strip()) == CELLS[line]
    )


@pytest.mark.parametrize("conditioning", ["concat", "acgan", "projection", "semisupervised"])
def test_a_conditioning_by_class_is_refused_where_images_have_none(out, tmp_path, conditioning):
    (tmp_path / "images").mkdir()
    for i in range(3):
        Image.new("L", (16, 16), i).save(tmp_path / "images" / f"{i}.png")
    words = [f"conditioning={conditioning}", *folder(tmp_path / "images")]
    names = {"acgan": "ACGAN", "semisupervised": "SemiSupervised"}
    name = names.get(conditioning, conditioning.title())
    sentence = f"conditioning: {name} needs labeled images; these have no classes"
    assert run_train(*smoke(out, *words)) == refused(sentence)


# The machine ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("trainer=gpu", "trainer: No supported gpu backend found!"),
        ("trainer.accelerator=foo", "trainer: You selected an invalid accelerator name: "),
        ("trainer.devices=3", "batch_size must be a multiple of the 3 devices, got 8"),
    ],
)
def test_what_this_machine_cannot_do_is_said_before_a_folder_is_made(out, override, reason):
    outcome = run_train(*smoke(out, override))
    assert (outcome.code, outcome.out) == (2, "")
    assert f"ganlab: 1 mistake, nothing was started\n  {reason}" in outcome.err
    assert "Traceback" not in outcome.err


# Sweeps -----------------------------------------------------------------------------------------


def test_one_wrong_cell_among_twelve_stops_all_before_the_first_starts(out):
    outcome = run_train("-m", *smoke(out, "d_clip=1,2,3,4,5,6,7,8,9,10,11,0"))
    assert outcome == refused("d_clip must be greater than 0, got 0.0 (in 1 of 12 jobs)")


def test_flags_may_stand_between_the_overrides(out):
    outcome = run_train("seed=0,-1", "-m", *smoke(out))
    assert outcome == refused("seed must be at least 0, got -1 (in 1 of 2 jobs)")


def test_a_wrong_choice_in_a_sweep_is_told_with_the_number_of_its_jobs(out):
    outcome = run_train("-m", *smoke(out, "seed=0,1", "loss=hinge,hing"))
    assert outcome == refused(f"{NAMES['loss=hing']} (in 2 of 4 jobs)")


def test_a_wrong_name_in_one_job_does_not_hide_what_is_wrong_in_another(out):
    outcome = run_train("-m", *smoke(out, "loss=hing,hinge", "ema=1.5"))
    assert outcome == refused(
        f"{NAMES['loss=hing']} (in 1 of 2 jobs)", f"{VALUES['ema=1.5']} (in 1 of 2 jobs)"
    )


def test_a_combination_that_cannot_work_is_found_in_a_sweep(out):
    """Each axis by itself is right; one of the four cells is not."""
    axes = ["model.discriminator.norm=batch,none", "regularizer=r1,weight_clip"]
    outcome = run_train("-m", *smoke(out, *axes))
    assert outcome == refused(f"{VALUES['regularizer=r1']} (in 1 of 4 jobs)")


def test_a_folder_that_is_no_run_is_found_before_the_sweep_starts(out):
    outcome = run_train("-m", *smoke(out, "resume=never,nowhere"))
    assert outcome == refused("'nowhere' is no run: it has no config.yaml (in 1 of 2 jobs)")


def settings(output_dir, *path: str) -> list:
    """What the runs below output_dir have at a path of their configs, sorted."""
    found = []
    for run in runs_in(output_dir):
        node = yaml.safe_load((run / "config.yaml").read_text())
        for name in path:
            node = node[name]
        found.append(node)
    return sorted(found)


# The refusals above are not for want of commands that work.


def test_a_parameter_that_is_in_no_yaml_is_set_like_any_other(tmp_path):
    outcome = run_train(*smoke(tmp_path, "g_optimizer.weight_decay=0.1"))
    assert (outcome.code, outcome.err) == (0, "")
    assert settings(tmp_path, "g_optimizer", "weight_decay") == [0.1]


def test_a_parameter_that_is_in_no_yaml_is_swept_like_any_other(tmp_path):
    outcome = run_train("-m", *smoke(tmp_path, "model.generator.norm=none,layer"))
    assert (outcome.code, outcome.err) == (0, "")
    assert settings(tmp_path, "model", "generator", "norm") == ["layer", "none"]


@pytest.mark.long
def test_a_parameter_may_be_in_the_yaml_of_some_jobs_only(tmp_path):
    words = ["optim@g_optimizer=sgd,rmsprop", "g_optimizer.momentum=0.25"]
    outcome = run_train("-m", *smoke(tmp_path, *words))
    assert (outcome.code, outcome.err) == (0, "")
    assert settings(tmp_path, "g_optimizer", "momentum") == [0.25, 0.25]


# Resuming ---------------------------------------------------------------------------------------


def test_a_folder_that_is_no_run_cannot_be_resumed(out, tmp_path):
    (tmp_path / "no-run").mkdir()
    outcome = run_train(*smoke(out, f"resume={tmp_path / 'no-run'}"))
    assert outcome == refused(f"'{tmp_path / 'no-run'}' is no run: it has no config.yaml")
    assert list((tmp_path / "no-run").iterdir()) == []


def test_a_run_of_another_science_cannot_be_resumed_and_the_differences_are_named(out, tmp_path):
    assert run_train(*smoke(tmp_path / "first")).code == 0
    (run,) = runs_in(tmp_path / "first")
    before = {file: file.stat().st_mtime_ns for file in run.rglob("*")}
    outcome = run_train(*smoke(out, f"resume={run}", "seed=3", "g_optimizer.lr=0.1"))
    differences = "\n  seed: 0 there, 3 here\n  g_optimizer.lr: 0.0002 there, 0.1 here"
    differences += f"\nto start a new run from its weights: start={run}"
    assert outcome == refused(f"resume: '{run}' is another experiment:{differences}")
    assert before == {file: file.stat().st_mtime_ns for file in run.rglob("*")}


# Other commands ---------------------------------------------------------------------------------


def test_other_commands_say_their_mistakes_the_same_way():
    def command(run: str, n: int = 64, seed: int = 0):
        raise AssertionError("a wrong command was carried out")

    def words(*given):
        from ganlab.commands import command_line

        return run_main(lambda: command_line.call(command), *given)

    assert words() == refused("run: missing; set run=...")
    assert words("run=a", "sed=3") == refused("sed: unknown; did you mean 'seed'?")
    assert words("run=a", "n=many") == refused("n: expected int, got 'many'")
    assert words("somewhere") == refused("'somewhere': expected name=value")


def test_names_types_and_ranges_are_told_together(out):
    outcome = run_train(*smoke(out, "d_steps=0", "batchsize=3", "seed=-1", "mirror=5"))
    assert outcome.code == 2
    for sentence in (
        "batchsize: unknown; did you mean 'batch_size'?",
        "mirror: expected bool, got 5",
        "d_steps must be at least 1, got 0",
        "seed must be at least 0, got -1",
    ):
        assert f"  {sentence}\n" in outcome.err


def test_the_values_of_a_mapping_have_its_type(out):
    outcome = run_train(*smoke(out, "augment=ada", "augment.multipliers={hue: high}"))
    assert outcome == refused("augment.multipliers.hue: expected float, got 'high'")


def test_flags_that_contradict_each_other_are_refused(out):
    outcome = run_train("--cfg", "job", "-m", *smoke(out, "seed=0,1"))
    assert outcome == refused("--multirun and --cfg: Hydra does one of these at a time")


def test_a_sweep_without_a_job_is_refused(out):
    outcome = run_train("-m", *smoke(out, "seed=range(0,3,-1)"))
    assert outcome == refused("a value lists nothing: the sweep has no job")


def test_a_trainer_that_cannot_be_made_is_refused(out):
    """Only Lightning knows what it can make, once training is about to begin."""
    outcome = run_train(*smoke(out, "trainer.devices=99999999999999999999"))
    assert outcome.code == 2
    assert outcome.err.startswith("ganlab: 1 mistake, nothing was started\n  trainer: ")
