"""Pictures: grids of images, curves of readings, clouds of points.

May import: runs, storage.
Libraries: PIL, matplotlib, numpy, torch, torchvision.
"""
