"""What commands do: words of the command line, composition, preflight, sampling, evaluation.

May import: config.
Libraries: torch, hydra, omegaconf, yaml.
"""
