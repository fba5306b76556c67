"""A small GAN, and its training: what tests and benchmarks/gpu.py share; nothing of pytest's."""

import functools

import torch
from pytorch_lightning import Trainer
from torch import nn

from ganlab.data import Digits, ImageData
from ganlab.experiments.session import quiet_lightning
from ganlab.gan import GAN
from ganlab.latent import Gaussian
from ganlab.losses import NonSaturating
from ganlab.networks import DCGANDiscriminator, DCGANGenerator
from ganlab.training.terms import Generation
from ganlab.training.updates import UpdateRule


def adam(lr: float = 2e-4):
    return functools.partial(torch.optim.Adam, lr=lr, betas=(0.5, 0.999))


def small_gan(iterations: int = 4, **options) -> GAN:
    """A DCGAN of 16 x 16 digits with 8 channels; `options` replace any of GAN's arguments."""
    spec = Digits().spec
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = {
            "generator": DCGANGenerator(spec, 8, width=8),
            "discriminator": DCGANDiscriminator(spec, width=8),
        }
    chosen = {
        **networks,
        "loss": NonSaturating(),
        "spec": spec,
        "latent": Gaussian(8),
        "g_rule": UpdateRule(adam()),
        "d_rule": UpdateRule(adam()),
        "iterations": iterations,
        **options,
    }
    return GAN(chosen.pop("generator"), chosen.pop("discriminator"), chosen.pop("loss"), **chosen)


def fit(gan: GAN, batch_size: int = 16, callbacks=(), **trainer):
    """Trains on the digits to the GAN's last iteration; returns the Trainer."""
    quiet_lightning()
    ckpt = trainer.pop("ckpt_path", None)
    labels = trainer.pop("labels", None)
    length, seed = gan.total_iterations, gan.seed
    data = ImageData(Digits(), batch_size, gan.minibatches, length, seed, labels=labels)
    made = Trainer(
        **{
            "accelerator": "cpu",
            "devices": 1,
            "max_steps": gan.total_iterations,
            "max_epochs": -1,
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "callbacks": list(callbacks),
            **trainer,
        }
    )
    made.fit(gan, data, ckpt_path=ckpt, weights_only=True if ckpt else None)
    return made


def latents_of(gan, code):
    """Latents without noise, for this code."""
    return torch.cat([torch.zeros(len(code), gan.latent.dim).to(code), code], dim=1)


def generation(fake, real=None):
    """An update of G of which only D's outputs matter."""
    return Generation(nn.Identity(), torch.zeros(len(fake.images), 1), fake, real)
