"""Reports: runs and sweeps as one HTML file that opens from disk.

Everything that can be read of a run is shown; what cannot is named.  Texts come from runs, so the
templates escape them; pictures are re-encoded, and no link in a run's folder is followed.

This package must not import torch, directly or indirectly.

May import: config, errors, pages, plots, runs, scoring, storage, sweeps.
Libraries: PIL, bokeh, tornado, yaml.
"""
