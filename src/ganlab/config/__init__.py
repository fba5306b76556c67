"""What a config may say: its root keys, the check of every node, completion with defaults.

Nothing here imports torch.

May import: errors.
Libraries: omegaconf, pydantic.
"""
