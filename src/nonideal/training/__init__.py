"""The one training loop, for every track."""

from nonideal.preprocessing import Tensors, prepare
from nonideal.training.distillation import Distillation
from nonideal.training.evaluation import Evaluation, evaluate
from nonideal.training.hooks import Hook, ParameterGroups, Regulariser
from nonideal.training.loop import train
from nonideal.training.settings import Settings

__all__ = [
    "Distillation",
    "Evaluation",
    "Hook",
    "ParameterGroups",
    "Regulariser",
    "Settings",
    "Tensors",
    "evaluate",
    "prepare",
    "train",
]
