"""Experiments that show something about GANs, each one command."""
