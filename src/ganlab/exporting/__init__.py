"""A trained generator to give away: weights, ONNX, a model card, an upload.

May import: errors, networks, sampler, spec.
Libraries: onnx_ir, onnxruntime, torch.
"""
