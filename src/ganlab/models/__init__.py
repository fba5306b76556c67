"""Generative models that are no GANs, one file each; the GAN itself is in ganlab/gan.py.

A model is a subclass of Generative that a config names in `model._target_`.  Its constructor says
which of ganlab's parts it takes (spec, latent, g_rule, ema, ...); the nodes below `model` that have
a `_target_` of their own are built for the data and passed by their names.

May import: belief, boltzmann, errors, generative, latent, networks, schedules, spec, training.
Libraries: torch.
"""

from ganlab.models.likelihoods import Bernoulli, Normal
from ganlab.models.rbm import RBM
from ganlab.models.sbn import SBN
from ganlab.models.vae import VAE

__all__ = ["RBM", "SBN", "VAE", "Bernoulli", "Normal"]
