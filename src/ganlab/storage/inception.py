"""The published Inception weights, the standard ones for FID, and how images are put before them.

They are TensorFlow's weights of 2015-12-05, converted by pytorch-fid.
"""

NAME = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{NAME}"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
PREPARATION = "tf1_bilinear to 299, (x - 128) / 128"
