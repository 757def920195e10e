"""A coloured data set, a small residual network and a short recipe for tests of the training loop."""

import torch
from torch import nn

from nonideal.models import build
from nonideal.preprocessing import Tensors
from nonideal.rng import torch_stream
from nonideal.training import Settings


def coloured_images() -> Tensors:
    generator = torch_stream(0, "coloured")
    images = torch.randn(60, 3, 16, 16, generator=generator)
    labels = torch.randint(0, 3, (60,), generator=generator)
    return Tensors(images[:40], labels[:40], images[40:], labels[40:], torch.zeros(3, 1, 1))


def net(name: str = "init") -> nn.Module:
    return build("resnet8", classes=3, width=4, generator=torch_stream(0, name))


def short(**changes) -> Settings:
    base = {"epochs": 2, "batch_size": 16, "lr": 0.01, "optimiser": "sgd", "augmentation": "none"}
    return Settings(**(base | {"device": "cpu"} | changes))
