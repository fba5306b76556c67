"""What a config builds, and one stretch of training.

May import: augment, belief, boltzmann, callbacks, compatibility, conditioning, config, data,
errors, gan, generative, health, latent, loggers, losses, models, networks, optimizers, plots,
regularizers, runs, sampler, schedules, scoring, spec, storage, training.
Libraries: hydra, lightning_fabric, pydantic, pytorch_lightning, torch.
"""
