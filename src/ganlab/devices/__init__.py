"""What depends on the device: CUDA graphs, several processes, how threads wait.

This file imports nothing: `ganlab` imports `devices.threads` before torch is loaded.

May import: generative, networks, training.
Libraries: pytorch_lightning, torch.
"""
