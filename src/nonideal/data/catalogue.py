"""The data sets this project knows: names, shapes, classes, file names and published checksums."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

DIGITS = tuple("0123456789")
CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
# EMNIST merges the lower-case letters that look like their capitals (Cohen et al., "EMNIST: an extension of
# MNIST to handwritten letters", IJCNN 2017, section II.B); these eleven stay. Order as in torchvision.
BALANCED_CLASSES = (*DIGITS, *"ABCDEFGHIJKLMNOPQRSTUVWXYZ", *"abdefghnqrt")
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")

# SHA-256 of the unpacked files published at https://storage.googleapis.com/cvdf-datasets/mnist/, the copy
# TensorFlow and many other projects pin. Keyed by split and kind of content.
MNIST_SHA256 = MappingProxyType(
    {
        ("train", "images"): "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ("train", "labels"): "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ("test", "images"): "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ("test", "labels"): "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }
)

# MD5 of the batches in cifar-10-python.tar.gz, from torchvision.datasets.CIFAR10.train_list and test_list.
CIFAR10_MD5 = MappingProxyType(
    {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    }
)


@dataclass(frozen=True)
class Spec:
    """What a data set looks like and where its files are looked for below a root folder.

    Attributes
    ----------
    name
        Name used in the configuration.
    image_shape
        Channels, height, width of every image in pixels; None where images differ in size.
    class_names
        Names of the classes in the order of their labels; empty where the folders decide.
    idx
        Paths (below the root, without ``.gz``) of the IDX files, by split: images, labels.
    idx_first_label
        Label of the first class in the IDX files; subtracted on reading.
    idx_transposed
        Whether rows and columns of the IDX images are swapped.
    parquet
        Folders (below the root) looked in for ``train-*.parquet`` and ``test-*.parquet``.
    parquet_image
        Name of the image column in the parquet files.
    pickles
        Paths (below the root) of pickled batches, by split.
    """

    name: str
    image_shape: tuple[int, int, int] | None
    class_names: tuple[str, ...]
    idx: dict[str, tuple[str, str]] = field(default_factory=dict)
    idx_first_label: int = 0
    idx_transposed: bool = False
    parquet: tuple[str, ...] = ()
    parquet_image: str = ""
    pickles: dict[str, tuple[str, ...]] = field(default_factory=dict)


def _idx_pair(folder: str, stem: str) -> tuple[str, str]:
    return f"{folder}/raw/{stem}-images-idx3-ubyte", f"{folder}/raw/{stem}-labels-idx1-ubyte"


def _emnist(split: str, class_names: tuple[str, ...], first_label: int) -> Spec:
    pairs = {part: _idx_pair("EMNIST", f"emnist-{split}-{part}") for part in ("train", "test")}
    return Spec(
        name=f"emnist_{split}",
        image_shape=(1, 28, 28),
        class_names=class_names,
        idx=pairs,
        idx_first_label=first_label,
        idx_transposed=True,
    )


SPECS = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            Spec("digits", (1, 8, 8), DIGITS),
            Spec(
                "mnist",
                (1, 28, 28),
                DIGITS,
                idx={"train": _idx_pair("MNIST", "train"), "test": _idx_pair("MNIST", "t10k")},
                parquet=("mnist", "mnist/mnist"),
                parquet_image="image",
            ),
            _emnist("balanced", BALANCED_CLASSES, first_label=0),
            _emnist("letters", LETTERS, first_label=1),
            Spec(
                "cifar10",
                (3, 32, 32),
                CIFAR10_CLASSES,
                parquet=("cifar10", "cifar10/plain_text"),
                parquet_image="img",
                pickles={
                    "train": tuple(f"cifar-10-batches-py/data_batch_{k}" for k in range(1, 6)),
                    "test": ("cifar-10-batches-py/test_batch",),
                },
            ),
            Spec("imagenet", None, ()),
            Spec("imagenet64", (3, 64, 64), ()),
        )
    }
)


def spec_of(name: str) -> Spec:
    """Return the description of a data set by name.

    Raises
    ------
    ValueError
        If the name is unknown; the message lists the known ones.
    """
    try:
        return SPECS[name]
    except KeyError:
        raise ValueError(f"unknown data set {name!r}; known are {', '.join(SPECS)}") from None
