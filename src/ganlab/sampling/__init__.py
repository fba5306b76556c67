"""What people do with a trained generator: streams of images, films, directions, inversion.

May import: conditioning, data, generative, latent, networks, plots, spec, storage, training.
Libraries: numpy, scipy, torch.
"""
