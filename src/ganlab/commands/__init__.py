"""What commands do: words of the command line, composition, preflight, sampling, evaluation.

May import: callbacks, conditioning, config, data, errors, experiments, exploring, exporting,
generative, plots, quizzing, runs, sampler, sampling, scoring, spec, storage, sweeps, training.
Libraries: hydra, numpy, omegaconf, torch, tqdm, yaml.
"""
