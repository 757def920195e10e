"""Settings of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nonideal import augment

OPTIMISERS = ("adam", "muon", "sgd")
SCHEDULES = ("cosine", "step", "halving", "constant")
AUGMENTATIONS = ("affine", "crop_flip", "none")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Settings:
    """Settings of a training run.

    Parameters
    ----------
    epochs
        Number of epochs.
    batch_size
        Images a step, clean and augmented together; a multiple of 1 + `augmented_copies`.
    optimiser
        ``adam``, ``sgd``, or ``muon``: matrices and filters by orthogonalised momentum (Jordan et al., 2024),
        scaled to Adam's steps (Liu et al., arXiv:2502.16982, section 2.2), all other parameters by Adam.
    lr
        Learning rate at the start.
    momentum, nesterov
        Of ``sgd``; without use for the others.
    weight_decay
        Coefficient of the L2 term; with ``muon`` decoupled, as AdamW's.
    label_smoothing
        Share of the target that is spread evenly over the classes; the reported losses are without it.
    average_decay
        Decay, per step, of an exponential moving average of weights and buffers, which the network ends with
        (Polyak and Juditsky 1992; Izmailov et al., arXiv:1803.05407, with equal weights); 0: none.
    sharpness
        Radius, in the space of the weights, of sharpness-aware minimisation (Foret et al., arXiv:2010.01412,
        with the 2-norm): a step follows the gradient at the worst point within it, to first order, so it
        takes two passes; 0: the ordinary gradient. Running statistics are those of the first pass.
    sharpness_share
        Share of each batch, its first images, that the first pass sees: it only finds the point, which a part
        of the batch does as well (Bahri et al., arXiv:2110.08529). Training loss and accuracy are of it.
    schedule
        ``cosine`` (to zero, per step), ``step`` (times `step_factor` every `step_epochs`, or at each of
        `milestones`), ``halving`` (half every `step_epochs`) or ``constant``.
    warmup_epochs
        The rate rises linearly from zero over this many epochs, per step; the schedule's course follows.
    step_epochs, step_factor, milestones
        See `schedule`; milestones are fractions of the run, ascending.
    augmentation
        ``affine``: each epoch is the training set as it is and `augmented_copies` transformed copies.
        ``crop_flip``: every image once, shifted by up to four pixels and mirrored at random (He et al.,
        arXiv:1512.03385). ``none``: every image once, as it is.
    augmented_copies
        Affinely transformed copies of the training set in each epoch, for ``affine``; 0 leaves the clean set.
    degrees, translate, scale_range, shear
        Ranges of the transformation, see `nonideal.augment.Affine`.
    elastic
        Standard deviation of the knots of an elastic map of the copies on top, in pixels of the images that
        are moved (between knots it is less), see
        `nonideal.augment.draw_elastic`.
    cutout
        Side of a square hidden from each image, in pixels, for ``crop_flip`` (DeVries and Taylor,
        arXiv:1708.04552); 0: none.
    still_share
        Share of the images that ``crop_flip`` does not shift, so that training sees borders as evaluation
        does, and compressed images their blocks where they are (compare Touvron et al., arXiv:1906.06423).
    small_share, small_pixels
        The first part of the epochs, in [0, 1), is trained on images of this side, resized after their
        augmentation (progressive resizing, as in FFCV, arXiv:2306.12517), for networks that take any size;
        a share of 0 resizes none. Evaluation is always on the images as they are.
    freeze_scale
        Fraction of the epochs after which the weight scales stay as they are; until then all follow the
        weights, also those that were frozen before.
    precision
        ``float32``, or ``bfloat16`` for the products of the network (autocast; weights stay in float32) where
        the processor computes in it, and float32 elsewhere.
    channels_last
        Store images and filters with the channels innermost, which suits convolutions on most processors.
    evaluation_batch
        Images at once after each epoch, which bounds the memory; 0: what is fastest for most networks.
    threads
        CPU threads; part of the settings because it decides the last bits.
    device
        ``auto`` (CUDA if there is any), ``cpu`` or ``cuda``.

    Raises
    ------
    ValueError
        If a value is out of its range; the message names it.
    """

    epochs: int = 20
    batch_size: int = 128
    optimiser: str = "adam"
    lr: float = 3e-3
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    average_decay: float = 0.0
    sharpness: float = 0.0
    sharpness_share: float = 1.0
    schedule: str = "cosine"
    warmup_epochs: float = 0.0
    step_epochs: int = 10
    step_factor: float = 0.1
    milestones: tuple[float, ...] = ()
    augmentation: str = "affine"
    augmented_copies: int = 1
    degrees: float = 10.0
    translate: float = 0.1
    scale_range: tuple[float, float] = (0.9, 1.1)
    shear: float = 0.0
    elastic: float = 0.0
    cutout: int = 0
    still_share: float = 0.0
    small_share: float = 0.0
    small_pixels: int = 24
    freeze_scale: float = 1.0
    precision: str = "float32"
    channels_last: bool = False
    evaluation_batch: int = 0
    threads: int = 1
    device: str = "auto"

    def __post_init__(self) -> None:
        # Lists when read from YAML.
        object.__setattr__(self, "scale_range", tuple(self.scale_range))
        object.__setattr__(self, "milestones", tuple(self.milestones))
        self._check_choices()
        self._check_ranges()
        self.affine()

    def _check_choices(self) -> None:
        choices = {
            "optimiser": OPTIMISERS,
            "schedule": SCHEDULES,
            "augmentation": AUGMENTATIONS,
            "precision": PRECISIONS,
        }
        for key, values in choices.items():
            if getattr(self, key) not in values:
                raise ValueError(f"{key} must be one of {', '.join(values)}, got {getattr(self, key)!r}")

    def _check_ranges(self) -> None:
        for key in ("epochs", "batch_size", "step_epochs", "small_pixels", "threads"):
            if not isinstance(getattr(self, key), int) or getattr(self, key) < 1:
                raise ValueError(f"{key} must be a whole number of at least 1, got {getattr(self, key)!r}")
        for key in ("augmented_copies", "evaluation_batch"):
            if not isinstance(getattr(self, key), int) or getattr(self, key) < 0:
                raise ValueError(f"{key} must be a whole number from 0, got {getattr(self, key)!r}")
        if self.batch_size % (1 + self.copies):
            raise ValueError(
                f"batch_size must be a multiple of 1 + augmented_copies = {1 + self.copies}, "
                f"got {self.batch_size}"
            )
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"lr must be positive, got {self.lr!r}")
        for key in ("momentum", "weight_decay", "label_smoothing", "average_decay", "small_share"):
            if not 0 <= getattr(self, key) < 1:
                raise ValueError(f"{key} must lie in [0, 1), got {getattr(self, key)!r}")
        if not (math.isfinite(self.elastic) and self.elastic >= 0):
            raise ValueError(f"elastic must be a number of pixels from 0, got {self.elastic!r}")
        if not (math.isfinite(self.sharpness) and self.sharpness >= 0):
            raise ValueError(f"sharpness must be a radius from 0, got {self.sharpness!r}")
        if not 0 < self.sharpness_share <= 1:
            raise ValueError(f"sharpness_share must lie in (0, 1], got {self.sharpness_share!r}")
        if self.sharpness and self.sharpness_share < 1 and self.copies:
            # The first images of such a batch are those that are not augmented.
            raise ValueError(
                f"sharpness_share goes with augmentation crop_flip or none, got {self.augmentation!r}"
            )
        if not 0 <= self.still_share <= 1:
            raise ValueError(f"still_share must lie in [0, 1], got {self.still_share!r}")
        if self.still_share and self.augmentation != "crop_flip":
            raise ValueError(f"still_share goes with augmentation crop_flip, got {self.augmentation!r}")
        if not isinstance(self.cutout, int) or self.cutout < 0:
            raise ValueError(f"cutout must be a whole number of pixels from 0, got {self.cutout!r}")
        if self.cutout and self.augmentation != "crop_flip":
            raise ValueError(f"cutout goes with augmentation crop_flip, got {self.augmentation!r}")
        for key in ("step_factor", "freeze_scale"):
            if not 0 < getattr(self, key) <= 1:
                raise ValueError(f"{key} must lie in (0, 1], got {getattr(self, key)!r}")
        if not 0 <= self.warmup_epochs < self.epochs:
            raise ValueError(
                f"warmup_epochs must lie in [0, epochs) = [0, {self.epochs}), got {self.warmup_epochs!r}"
            )
        if list(self.milestones) != sorted(self.milestones) or not all(0 < m < 1 for m in self.milestones):
            raise ValueError(f"milestones must ascend between 0 and 1, got {self.milestones!r}")

    @property
    def copies(self) -> int:
        """Affinely transformed copies of the training set in each epoch."""
        return self.augmented_copies if self.augmentation == "affine" else 0

    def affine(self) -> augment.Affine:
        """Ranges of the augmentation."""
        return augment.Affine(self.degrees, self.translate, self.scale_range, self.shear)

    def reached(self, share: float, epoch: int) -> bool:
        """Whether `epoch` whole epochs are at least a share of all, however a share of them is rounded."""
        return epoch >= round(share * self.epochs, 9)

    def rate(self, epoch: int, progress: float = 0.0) -> float:
        """Learning rate after `epoch` whole epochs and the fraction `progress` of the next."""
        if epoch + progress < self.warmup_epochs:
            return self.lr * (epoch + progress) / self.warmup_epochs
        if self.schedule == "cosine":
            passed = (epoch + progress - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
            return self.lr * 0.5 * (1 + math.cos(math.pi * passed))
        if self.schedule == "step":
            steps = epoch // self.step_epochs
            if self.milestones:
                steps = sum(self.reached(milestone, epoch) for milestone in self.milestones)
            return self.lr * self.step_factor**steps
        if self.schedule == "halving":
            return self.lr * 0.5 ** (epoch // self.step_epochs)
        return self.lr
