"""A page in which a trained generator runs: its networks as plain loops or ONNX, its latent space.

May import: conditioning, errors, exporting, latent, networks, pages, sampler, sampling, spec,
storage, training.
Libraries: markupsafe, numpy, onnx, onnxruntime, torch.
"""
