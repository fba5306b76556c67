"""A trained generator to give away: weights, ONNX, a model card, an upload.

May import: __init__, conditioning, config, errors, experiments, generative, latent, networks,
plots, runs, sampler, scoring, spec, storage, training.
Libraries: huggingface_hub, numpy, onnx_ir, onnxruntime, pydantic, safetensors, torch, yaml.
"""
