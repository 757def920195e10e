"""Networks of the published scale, for a GPU or a cluster: torchvision's, with a stem for small images.

ResNet-18 and ResNet-50 (He et al., arXiv:1512.03385) start with a 3 x 3 convolution of stride 1 and no
pooling, as is usual for images of 32 x 32 pixels; VGG-13 with batch normalisation (Simonyan & Zisserman,
arXiv:1409.1556) has one linear layer behind a global mean.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nonideal import initial

BASE = 64  # channels of the first stage in the publications
VGG13 = (1, 1, "M", 2, 2, "M", 4, 4, "M", 8, 8, "M", 8, 8, "M")  # widths over that of the first stage


def _restart(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """Draw every filter and matrix anew from the given generator (He et al., arXiv:1502.01852, fan-out)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.weight[:, 0].numel()
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out), generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            initial.uniform(module.weight, module.bias, fan_in=module.in_features, generator=generator)
    return model


def _resnet(
    name: str,
    block: str,
    blocks: list[int],
    generator: torch.Generator,
    channels: int,
    classes: int,
    width: int,
) -> nn.Module:
    if width != BASE or min(channels, classes) < 1:
        raise ValueError(
            f"model {name!r}: width must be {BASE}, channels and classes positive; got {width}, {channels}, "
            f"{classes}"
        )
    from torchvision.models import resnet  # here, because it takes seconds and few runs want it

    with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
        model = resnet.ResNet(getattr(resnet, block), blocks, num_classes=classes)
        model.conv1 = nn.Conv2d(channels, BASE, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return _restart(model, generator)


def resnet18(
    *, generator: torch.Generator, channels: int = 3, classes: int = 10, width: int = BASE
) -> nn.Module:
    """ResNet-18 for small images, 11 million weights; `width` is 64."""
    return _resnet("resnet18", "BasicBlock", [2, 2, 2, 2], generator, channels, classes, width)


def resnet50(
    *, generator: torch.Generator, channels: int = 3, classes: int = 10, width: int = BASE
) -> nn.Module:
    """ResNet-50 for small images, 24 million weights; `width` is 64."""
    return _resnet("resnet50", "Bottleneck", [3, 4, 6, 3], generator, channels, classes, width)


class VGG(nn.Module):
    """Convolutions of VGG-13 with batch normalisation, a global mean, and one linear layer.

    Parameters
    ----------
    channels, classes
        Of the images, and of the task.
    width
        Channels of the first stage.
    """

    def __init__(self, *, channels: int, classes: int, width: int) -> None:
        from torchvision.models import vgg

        super().__init__()
        plan = [part if part == "M" else part * width for part in VGG13]
        self.features = vgg.make_layers(plan, batch_norm=True)
        self.features[0] = nn.Conv2d(channels, width, 3, padding=1)
        self.classifier = nn.Linear(plan[-2], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images [n, channels, h, w], at least 32 x 32, to logits [n, classes]."""
        return self.classifier(self.features(x).mean(dim=(2, 3)))


def vgg13(
    *, generator: torch.Generator, channels: int = 3, classes: int = 10, width: int = BASE
) -> nn.Module:
    """VGG-13 for small images, 9 million weights at the published width of 64."""
    if min(channels, classes, width) < 1:
        raise ValueError(
            f"model 'vgg13': channels, classes and width must be positive, got {channels}, {classes}, {width}"
        )
    with torch.random.fork_rng(devices=[]):
        model = VGG(channels=channels, classes=classes, width=width)
    return _restart(model, generator)
