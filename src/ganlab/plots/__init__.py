"""Pictures: grids of images, curves of readings, clouds of points.

May import: runs, storage.
Libraries: torch, torchvision, numpy, PIL, matplotlib.
"""
