"""Sweeps: records, studies by random search, scores of runs, and charts.

May import: config, errors, plots, runs, scoring, spec, storage.
Libraries: filelock, hydra, matplotlib, numpy, omegaconf, yaml.
"""
