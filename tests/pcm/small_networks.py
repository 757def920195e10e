"""A small network with every kind of layer that deployment meets, and its images."""

import torch
from torch import nn
from torch.nn import functional


class Small(nn.Module):
    """Convolution with normalisation, grouped convolution with bias, linear layer."""

    def __init__(self, generator):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.grouped = nn.Conv2d(4, 6, 3, stride=2, groups=2)
        self.classifier = nn.Linear(6, 3)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3, generator=generator)
        self.norm.running_mean.normal_(generator=generator)
        self.norm.running_var.uniform_(0.5, 2, generator=generator)

    def forward(self, x):
        x = functional.relu(self.norm(self.conv(x)))
        x = functional.relu(self.grouped(x))
        return self.classifier(x.mean(dim=(2, 3)))


def network(seed=0, dtype=torch.float64):
    """The network, in evaluation mode, and 16 images."""
    generator = torch.Generator().manual_seed(seed)
    model = Small(generator).eval().to(dtype)
    return model, torch.randn(16, 2, 8, 8, generator=generator).to(dtype)
