"""What a config builds, and one stretch of training.

May import: callbacks, conditioning, config, data, errors, gan, health, loggers, optimizers, plots,
runs, scoring, spec, storage, training.
Libraries: hydra, lightning_fabric, pytorch_lightning, torch.
"""
