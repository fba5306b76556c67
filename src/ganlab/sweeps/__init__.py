"""Sweeps: their record, studies with random points, scores of their runs, charts of these.

May import: config.
Libraries: matplotlib.
"""
