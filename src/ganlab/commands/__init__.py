"""What commands do: words of the command line, composition, preflight, sampling, evaluation.

May import: callbacks, conditioning, config, data, errors, experiments, exporting, plots, runs,
sampler, sampling, scoring, spec, storage, sweeps.
Libraries: hydra, numpy, omegaconf, torch, tqdm, yaml.
"""
