"""The one training loop, for every track."""

from nonideal.preprocessing import Tensors, prepare
from nonideal.training.distillation import Distillation, Lessons, teach
from nonideal.training.evaluation import Evaluation, evaluate
from nonideal.training.hooks import Hook, ParameterGroups, Regulariser
from nonideal.training.loop import train
from nonideal.training.settings import Settings

__all__ = [
    "Distillation",
    "Evaluation",
    "Hook",
    "Lessons",
    "ParameterGroups",
    "Regulariser",
    "Settings",
    "Tensors",
    "evaluate",
    "prepare",
    "teach",
    "train",
]
