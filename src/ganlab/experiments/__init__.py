"""What a config builds, and one stretch of training.

May import: callbacks.
Libraries: torch, hydra, pytorch_lightning, lightning_fabric.
"""
