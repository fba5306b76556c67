"""The laboratory: small experiments that show why GANs behave as they do."""
