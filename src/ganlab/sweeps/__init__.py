"""Sweeps: their record, studies with random points, scores of their runs, charts of these.

May import: config, errors, plots, runs, scoring, spec, storage.
Libraries: filelock, hydra, matplotlib, numpy, omegaconf, yaml.
"""
