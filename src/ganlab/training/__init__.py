"""The parts of a training step: minibatches, terms, update rules, averages, observations.

May import: errors, schedules, spec.
Libraries: numpy, torch.
"""
