"""What commands do: words of the command line, composition, preflight, sampling, evaluation.

May import: callbacks, conditioning, config, data, errors, experiments, gan, plots, runs, sampling,
scoring, spec, storage, sweeps.
Libraries: hydra, numpy, omegaconf, torch, tqdm, yaml.
"""
