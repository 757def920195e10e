"""Settings and images of a tiny study."""

import torch

from nonideal.rng import torch_stream

CONFIG = {
    "dataset": "squares",
    "model": "resnet8",
    "width": 4,
    "layers": "inner",
    "seeds": 2,
    "holdout": 0,
    "train_images": 0,
    "batch_size": 16,
    "augmentation": "none",
    "precision": "float32",
    "threads": 1,
    "device": "cpu",
    "alpha": "mean",
    "quantiser_weight_decay": 0.0,
    "float": {"epochs": 2, "learning_rate": 0.05, "weight_decay": 5e-4},
    "qat": {"bits": [3], "epochs": 2, "learning_rate": 0.01, "ramp": 0.5, "quantiser_lr_factor": 1.0},
    "faults": {
        "bits": [3], "rates": [0, 0.3], "p_stuck1": [0.5], "epochs": 2, "learning_rate": 0.01, "ramp": 0.5,
        "remap_epochs": 1,
    },
    "variability": {
        "bits": [3], "sigmas": [0.4], "distribution": "normal", "high_state": True, "epochs": 2,
        "learning_rate": 0.01, "ramp": 0.5, "remap_epochs": 1,
    },
}  # fmt: skip


def squares(count, name):
    """Images with a bright quarter, and which quarter it is."""
    labels = torch.arange(count) % 4
    images = 0.3 * torch.randn(count, 1, 8, 8, generator=torch_stream(9, name))
    for place, label in enumerate(labels.tolist()):
        row, column = 4 * (label // 2), 4 * (label % 2)
        images[place, :, row : row + 4, column : column + 4] += 1
    return images, labels
