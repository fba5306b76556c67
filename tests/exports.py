"""Runs to export, without training: a folder with the weights that a config and its seed make."""

from pathlib import Path
from typing import Any

import yaml

from commands import completed
from ganlab.callbacks.checkpoints import write
from ganlab.experiments.experiment import Experiment
from ganlab.runs.folder import Run
from ganlab.storage import checkpoint

NARROW_D = ["model.discriminator.width=8"]
MODELS = {  # what each model of conf/model needs beside its name, and what makes it small
    "autoencoder": ["loss=ebgan", "model.discriminator.width=8"],
    "biggan": [*NARROW_D, "model.generator.width=16", "model.generator.embedding=8"],
    "dcgan": [*NARROW_D, "model.generator.width=8"],
    "infogan": [],
    "r3gan": [
        "model.generator.width=32",
        "model.discriminator.width=32",
        "model.generator.bf16_stages=1",
    ],
    "resnet": [*NARROW_D, "model.generator.width=16"],
    "sagan": [*NARROW_D, "model.generator.width=16"],
    "rbm": ["model.generator.sweeps=4"],
    "salimans": [],
    "sbn": ["model.generator.hidden=[20,10]"],
    "sndcgan": [*NARROW_D, "model.generator.width=8"],
    "stylegan2": [
        "model.generator.base=256",
        "model.discriminator.base=256",
        "model.generator.bf16_stages=1",
    ],
    "toy": ["data=ring_2d"],
    "tutorial": ["data=mnist"],
    "vae": [],
    "vae_conv": ["model.generator.width=8", "model.encoder.width=8"],
    "vanilla": [],
}


RANDOM = ("rbm", "sbn")  # draw as they go, by a generator of torch's: no graph has that
SMALL = ["ema=null", "latent.dim=16"]  # without an average, there are no statistics to recompute


def gan_of(*words: str) -> Any:
    """The GAN of a command line, not trained."""
    return Experiment(**completed(*words)).build().eval()


def run_of(folder: Path, *words: str, iterations: int = 3, **about: Any) -> Path:
    """A run's folder with a config and one checkpoint; `about` are attributes of its GAN."""
    config = completed(*words)
    gan = Experiment(**config).build()
    gan.iterations = iterations
    for name, value in about.items():
        setattr(gan, name, value)
    saved = {"state_dict": gan.state_dict()}
    gan.on_save_checkpoint(saved)
    run = Run(folder)
    run.checkpoints.mkdir(parents=True)
    write(saved, run.checkpoints / checkpoint.name(iterations))
    run.config_file.write_text(yaml.safe_dump(config, sort_keys=False))
    return folder
