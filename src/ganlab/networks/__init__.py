"""Generators and discriminators, one file per architecture.

A generator is built as `Generator(spec, latent_dim, ...)` and maps noise (N, latent_dim) to images
(N, C, H, W) in [-1, 1]; a discriminator, `Discriminator(spec, ...)`, maps images to logits (N,), by
way of features (networks/discriminator.py).
"""

from ganlab.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from ganlab.networks.infogan import InfoGANDiscriminator, InfoGANGenerator
from ganlab.networks.resnet import ResNetDiscriminator, ResNetGenerator
from ganlab.networks.sndcgan import SNDCGANDiscriminator, SNDCGANGenerator
from ganlab.networks.vanilla import VanillaDiscriminator, VanillaGenerator

__all__ = [
    "DCGANDiscriminator",
    "DCGANGenerator",
    "InfoGANDiscriminator",
    "InfoGANGenerator",
    "ResNetDiscriminator",
    "ResNetGenerator",
    "SNDCGANDiscriminator",
    "SNDCGANGenerator",
    "VanillaDiscriminator",
    "VanillaGenerator",
]
