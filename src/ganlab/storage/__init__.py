"""Files: atomic and background writes, checked reads, a cache, decoding of images.

May import: errors, spec.
Libraries: PIL, filelock, numpy, pyarrow, torch, tqdm.
"""
