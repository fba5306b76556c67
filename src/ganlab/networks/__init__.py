"""Generators and discriminators, one file per architecture.

A generator is built as `Generator(spec, latent_dim, ...)` and maps z (N, latent_dim), noise with
the code behind it, to images (N, C, H, W) in [-1, 1]; those that tell the code from the noise take
its width, `code_dim`.  A discriminator, `Discriminator(spec, ...)`, maps images to logits (N,), by
way of features (networks/discriminator.py).  One whose signature says `spec: ImageSpec` is for
images alone; `spec: Spec`, as those of networks/toy.py, takes points as well.

May import: spec.
Libraries: torch.
"""

from ganlab.networks.autoencoder import AutoencoderDiscriminator
from ganlab.networks.biggan import BigGANGenerator
from ganlab.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from ganlab.networks.discriminator import Discriminator
from ganlab.networks.infogan import InfoGANDiscriminator, InfoGANGenerator
from ganlab.networks.resnet import ResNetDiscriminator, ResNetGenerator
from ganlab.networks.sndcgan import SNDCGANDiscriminator, SNDCGANGenerator
from ganlab.networks.toy import ToyDiscriminator, ToyGenerator
from ganlab.networks.tutorial import TutorialDiscriminator, TutorialGenerator
from ganlab.networks.vanilla import VanillaDiscriminator, VanillaGenerator

__all__ = [
    "AutoencoderDiscriminator",
    "BigGANGenerator",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "Discriminator",
    "InfoGANDiscriminator",
    "InfoGANGenerator",
    "ResNetDiscriminator",
    "ResNetGenerator",
    "SNDCGANDiscriminator",
    "SNDCGANGenerator",
    "ToyDiscriminator",
    "ToyGenerator",
    "TutorialDiscriminator",
    "TutorialGenerator",
    "VanillaDiscriminator",
    "VanillaGenerator",
]
