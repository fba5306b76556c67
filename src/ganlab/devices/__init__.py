"""Device-specific code: CUDA graphs, data-parallel training, waiting of CPU threads.

This file must not import anything: `ganlab` imports `devices.threads` before torch is loaded.

May import: generative, networks, training.
Libraries: pytorch_lightning, torch.
"""
