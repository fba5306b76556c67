"""Files: written whole or not at all, in the background, checked when read, cached, decoded.

May import: errors, spec.
Libraries: PIL, filelock, numpy, torch, tqdm.
"""
