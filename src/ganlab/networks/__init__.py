"""Generators and discriminators, one file per architecture; contract.py has their base classes.

May import: spec.
Libraries: torch.
"""

from ganlab.networks.autoencoder import AutoencoderDiscriminator
from ganlab.networks.biggan import BigGANGenerator
from ganlab.networks.contract import Discriminator, Generator
from ganlab.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from ganlab.networks.discriminator import FeatureDiscriminator
from ganlab.networks.infogan import InfoGANDiscriminator, InfoGANGenerator
from ganlab.networks.r3gan import R3GANDiscriminator, R3GANGenerator
from ganlab.networks.resnet import ResNetDiscriminator, ResNetGenerator
from ganlab.networks.salimans import SalimansDiscriminator, SalimansGenerator
from ganlab.networks.sndcgan import SNDCGANDiscriminator, SNDCGANGenerator
from ganlab.networks.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator
from ganlab.networks.toy import ToyDiscriminator, ToyGenerator
from ganlab.networks.tutorial import TutorialDiscriminator, TutorialGenerator
from ganlab.networks.vanilla import VanillaDiscriminator, VanillaGenerator
from ganlab.networks.variational import (
    ConvDecoder,
    ConvEncoder,
    Decoder,
    Encoder,
    MLPDecoder,
    MLPEncoder,
)

__all__ = [
    "AutoencoderDiscriminator",
    "BigGANGenerator",
    "ConvDecoder",
    "ConvEncoder",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "Decoder",
    "Discriminator",
    "Encoder",
    "FeatureDiscriminator",
    "Generator",
    "InfoGANDiscriminator",
    "InfoGANGenerator",
    "MLPDecoder",
    "MLPEncoder",
    "R3GANDiscriminator",
    "R3GANGenerator",
    "ResNetDiscriminator",
    "ResNetGenerator",
    "SNDCGANDiscriminator",
    "SNDCGANGenerator",
    "SalimansDiscriminator",
    "SalimansGenerator",
    "StyleGAN2Discriminator",
    "StyleGAN2Generator",
    "ToyDiscriminator",
    "ToyGenerator",
    "TutorialDiscriminator",
    "TutorialGenerator",
    "VanillaDiscriminator",
    "VanillaGenerator",
]
