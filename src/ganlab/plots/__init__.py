"""Pictures: grids of images, films, curves of readings, clouds of points.

May import: runs, storage.
Libraries: PIL, av, matplotlib, numpy, torch, torchvision.
"""
