"""What people do with a trained generator: streams of images, films, directions, inversion.

May import: conditioning, data, latent, networks, plots, sampler, spec, storage, training.
Libraries: numpy, scipy, torch.
"""
