"""Files of random weights with the exact structure of the reference Inception network."""

from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import interpolate, normalize
from torchvision.models import inception_v3

STRENGTH = 9


def make(path: Path, seed: int = 0) -> Path:
    """Writes weights that pass on what they see: He's, with BatchNorm calibrated on noise.

    Gains of 0.3 to 0.7 keep the features' spread near what the trained network's is; the last
    layer looks at what images have not in common, for Inception Scores well above 1.
    """
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        network = inception_v3(num_classes=1008, aux_logits=False, init_weights=False, dropout=0.0)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.3, 0.7)
                nn.init.uniform_(module.bias, -0.1, 0.3)
                module.momentum = None  # running statistics become those of the one pass below
        head, network.fc = network.fc, nn.Identity()
        noise = interpolate(torch.randn(6, 3, 12, 12), (299, 299), mode="bilinear")
        common = normalize(network(noise.clamp(-1, 1)).mean(dim=0), dim=0)
        head.weight -= torch.outer(head.weight @ common, common)
        head.weight *= STRENGTH
        nn.init.normal_(head.bias)
        network.fc = head
    torch.save(network.state_dict(), path)
    return path
