"""What others have published and scores are compared by."""

# sha256 of the Inception weights of 2015-12-05, converted from TensorFlow's by pytorch-fid: all
# libraries'.
INCEPTION = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
