"""What Algorithm 1 needs: minibatches, what D makes of them, update rules, averages, observations.

May import: errors, schedules, spec.
Libraries: numpy, torch.
"""
