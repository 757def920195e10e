"""Knowledge distillation: a network learns from the outputs of a better one beside the labels.

A teacher that is better is also slower, and would cost more than the learner if it saw every batch. It is
asked once, about a few crops of each training image (`teach`); any number of learners, in any number of
epochs, draw their crops from these.
"""

from __future__ import annotations

import hashlib
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm

from nonideal import augment
from nonideal.preprocessing import Tensors
from nonideal.rng import torch_stream
from nonideal.training.evaluation import CONVOLUTION_BATCH, autocast, device_of, threads_set
from nonideal.training.settings import Settings


class Lessons(NamedTuple):
    """What a teacher says of crops of each training image.

    `corners` are those of the crops (see `augment.draw_crop_flip`), uint8 [views, n, 2], the first of each
    image the image as it is; `outputs` the teacher's logits, means over a crop and its mirror image, float32
    [views, n, classes].
    """

    corners: Tensor
    outputs: Tensor


@torch.no_grad()
def teach(
    teacher: nn.Module,
    tensors: Tensors,
    settings: Settings,
    *,
    views: int,
    seed: int,
    progress: bool = True,
) -> Lessons:
    """Ask a teacher about crops of each training image.

    Parameters
    ----------
    teacher
        Trained network; it is moved to the device of `settings` and left there, in evaluation mode.
    tensors
        Data set.
    settings
        Those of a training; device, threads, precision and layout of the images are used.
    views
        Crops of each image, the first of which is the image as it is.
    seed
        Names the random streams of the crops.
    progress
        Show a progress bar.

    Returns
    -------
    Lessons
        On the CPU.

    Raises
    ------
    ValueError
        If there is to be no view.
    """
    if views < 1:
        raise ValueError(f"views must be a whole number from 1, got {views!r}")
    device = device_of(settings.device)
    layout = torch.channels_last if settings.channels_last else torch.contiguous_format
    teacher.to(device, memory_format=layout).eval()
    images, background = tensors.train_images, tensors.background.to(device)
    corners = [
        augment.draw_crop_flip(len(images), generator=torch_stream(seed, "views", view))[0]
        for view in range(views)
    ]
    corners[0] = torch.full_like(corners[0], augment.CROP_PADDING)
    outputs = []
    with threads_set(settings.threads), autocast(device, settings.precision):
        for crop in tqdm(corners, unit="view", disable=not progress):
            said = []
            for batch, at in zip(images.split(CONVOLUTION_BATCH), crop.split(CONVOLUTION_BATCH), strict=True):
                seen = augment.crop_flip(batch.to(device), at.to(device), None, background)
                both = teacher(torch.cat((seen, seen.flip(3))).contiguous(memory_format=layout))
                said.append(both.float().unflatten(0, (2, -1)).mean(dim=0).cpu())
            outputs.append(torch.cat(said))
    return Lessons(torch.stack(corners).to(torch.uint8), torch.stack(outputs))


class Distillation:
    """Distance from a teacher's softened outputs (Hinton et al., arXiv:1503.02531, section 2).

    Parameters
    ----------
    lessons
        What the teacher says of the training images.
    temperature
        Divides the logits of both networks: the higher, the more the small probabilities count.
    share
        Weight of this distance in the objective; the loss against the labels has the rest.

    Raises
    ------
    ValueError
        If the lessons do not fit together, the temperature is not positive, or the share does not lie in
        (0, 1].
    """

    def __init__(self, lessons: Lessons, *, temperature: float, share: float) -> None:
        if not (math.isfinite(temperature) and temperature > 0):
            raise ValueError(f"temperature must be positive, got {temperature!r}")
        if not 0 < share <= 1:
            raise ValueError(f"share must lie in (0, 1], got {share!r}")
        corners, outputs = lessons
        if outputs.ndim != 3 or corners.shape != (*outputs.shape[:2], 2):
            raise ValueError(
                "lessons need corners [views, n, 2] and outputs [views, n, classes], "
                f"got {list(corners.shape)} and {list(outputs.shape)}"
            )
        self.lessons, self.temperature, self.share = lessons, temperature, share

    def lessons_on(self, tensors: Tensors, settings: Settings) -> Lessons:
        """Lessons on the device of the data set.

        Raises
        ------
        ValueError
            If they are of other images, or the images of this training would be changed in other ways.
        """
        taught, count = self.lessons.outputs.shape[1], len(tensors.train_images)
        if taught != count:
            raise ValueError(f"the teacher was asked about {taught} training images, and there are {count}")
        if settings.augmentation != "crop_flip":
            raise ValueError(
                f"distillation goes with augmentation crop_flip, whose crops the teacher has seen, "
                f"got {settings.augmentation!r}"
            )
        return Lessons(*(values.to(tensors.train_images.device) for values in self.lessons))

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
        """Settings and the content of the lessons: what a resumed run must have in common."""
        digest = hashlib.sha256()
        for values in self.lessons:
            digest.update(values.cpu().contiguous().numpy().data)
        return (
            f"Distillation(temperature={self.temperature}, share={self.share}, lessons={digest.hexdigest()})"
        )
