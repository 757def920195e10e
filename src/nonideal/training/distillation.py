"""Knowledge distillation: a network learns from the outputs of a larger one beside the labels."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from nonideal.training.evaluation import autocast


class Distillation:
    """Distance from a teacher's softened outputs (Hinton et al., arXiv:1503.02531, section 2).

    Parameters
    ----------
    teacher
        Trained network of the same classes; it is set to evaluation mode and stays as it is.
    temperature
        Divides the logits of both networks: the higher, the more the small probabilities count.
    share
        Weight of this distance in the objective; the loss against the labels has the rest.
    precision
        Of the teacher's products, as `Settings.precision`.

    Raises
    ------
    ValueError
        If the temperature is not positive, or the share does not lie in (0, 1].
    """

    def __init__(
        self, teacher: nn.Module, *, temperature: float, share: float, precision: str = "float32"
    ) -> None:
        if not (math.isfinite(temperature) and temperature > 0):
            raise ValueError(f"temperature must be positive, got {temperature!r}")
        if not 0 < share <= 1:
            raise ValueError(f"share must lie in (0, 1], got {share!r}")
        self.teacher = teacher.eval()
        self.temperature, self.share, self.precision = temperature, share, precision

    @torch.no_grad()
    def outputs(self, images: Tensor) -> Tensor:
        """Logits of the teacher, [n, classes], for images [n, c, h, w]."""
        self.teacher.to(images.device)
        with autocast(images.device, self.precision):
            return self.teacher(images).float()

    def __call__(self, logits: Tensor, outputs: Tensor, loss: Tensor) -> Tensor:
        """Objective of a step.

        The divergence is multiplied by the square of the temperature, so that its gradients keep their size
        beside those of the labels.

        Parameters
        ----------
        logits, outputs
            Of the network and of its teacher, [n, classes].
        loss
            Against the labels, a scalar.
        """
        soft = [functional.log_softmax(values / self.temperature, dim=1) for values in (logits, outputs)]
        divergence = functional.kl_div(*soft, reduction="batchmean", log_target=True)
        return (1 - self.share) * loss + self.share * self.temperature**2 * divergence

    def __repr__(self) -> str:
        """Settings and the content of the teacher: what a resumed run must have in common."""
        digest = hashlib.sha256()
        for key, value in self.teacher.state_dict().items():
            digest.update(key.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return (
            f"Distillation(temperature={self.temperature}, share={self.share}, precision={self.precision!r}, "
            f"teacher={digest.hexdigest()})"
        )
