"""Digits: small real images of handwritten digits, read pixel by pixel."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from gatelab.errors import UserError
from gatelab.tasks import _stream
from gatelab.tasks._losses import cross_entropy
from gatelab.tasks._task import Batch, Split, Task

_CLASSES = 10
_SIZES = {"train": 1197, "val": 300, "test": 300}
_SHA256 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"  # of pixels, then classes, as loaded


@lru_cache(maxsize=1)
def _images() -> tuple[np.ndarray, np.ndarray]:
    """Pixels (1797, 64), integers 0 .. 16, and classes (1797,) in scikit-learn's order; both uint8.

    Raises:
        UserError: scikit-learn comes with other data than those that scores are known for.
    """
    from sklearn.datasets import load_digits  # this import takes a second, which other tasks should not pay

    pixels, classes = load_digits(return_X_y=True)
    pixels, classes = pixels.astype(np.uint8), classes.astype(np.uint8)
    if (found := hashlib.sha256(pixels.tobytes() + classes.tobytes()).hexdigest()) != _SHA256:
        raise UserError(f"The digits of scikit-learn have the SHA-256 {found}, but it must be {_SHA256}. Install another version.")
    return pixels, classes


@lru_cache(maxsize=1)
def _order() -> dict[str, np.ndarray]:
    """Image numbers of each split: a fixed permutation, so that the split is the same on every machine."""
    order = np.argsort(_stream.words("digits", "test", 0, np.arange(sum(_SIZES.values())), 1)[:, 0], kind="stable")
    parts = np.split(order, np.cumsum(list(_SIZES.values()))[:-1])
    return dict(zip(_SIZES, parts, strict=True))


def _frequencies() -> np.ndarray:
    """Share of each class in the training split (10,)."""
    counts = np.bincount(_images()[1][_order()["train"]], minlength=_CLASSES)
    return counts / counts.sum()


@dataclass(frozen=True)
class Digits(Task):
    """Classification of 8x8 images of handwritten digits, one pixel a step: the small sibling of sequential MNIST.

        x_t = pixel_t / 16,  t = 8 row + column,        y = the digit

    Layout: x (B, 64, 1) in [0, 1], rows from top to bottom, each from left to right; y (B,) int64 in 0 .. 9. The output of the last
    step is the answer.
    Data: 1,797 images that come with scikit-learn (`load_digits`), a copy of the test set of the UCI "Optical Recognition of
    Handwritten Digits" data; nothing is downloaded.
    Split: 1,197 train, 300 val, 300 test, by a fixed permutation. The images of one writer may be in all three (scikit-learn does
    not tell who wrote what), so the test score is for known writers.
    Scores: `accuracy`, and `nll` in nats an image.

    Differs from sequential MNIST (Le, Jaitly & Hinton 2015): 64 steps instead of 784 and 17 grey levels.

    References:
        Alpaydin & Kaynak, "Cascading Classifiers", Kybernetika, 1998: the data.
        Le, Jaitly & Hinton, "A Simple Way to Initialize Recurrent Networks of Rectified Linear Units", arXiv 1504.00941, 2015.
    """

    readout = "last"
    metric = "accuracy"
    higher_is_better = True
    scale = "logit"  # a share of correct images
    shape = "single"  # every run learns; only a few images depend on the seed
    chance_derivation = "always answering the most frequent digit of the training split, measured on the test split"
    solved_derivation = "our choice: 15 errors in 300; we know of no published score for this reading of these images"

    @property
    def input_size(self) -> int:
        return 1

    @property
    def output_size(self) -> int:
        return _CLASSES

    @property
    def chance(self) -> float:
        answer = _frequencies().argmax()
        return float((_images()[1][_order()["test"]] == answer).mean())

    @property
    def solved(self) -> float:
        return 0.95

    def size(self, split: Split) -> int | None:
        return _SIZES[split]

    def batch(self, split: Split, seed: int, indices: np.ndarray) -> Batch:  # noqa: ARG002 - the data know no seed
        pixels, classes = _images()
        chosen = _order()[split][indices]
        x = pixels[chosen].astype(np.float32)[:, :, None] / 16
        return Batch(torch.from_numpy(x), torch.from_numpy(classes[chosen].astype(np.int64)))

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return cross_entropy(output, batch.y).mean()

    def metrics(self, output: Tensor, batch: Batch) -> Mapping[str, tuple[Tensor, Tensor]]:
        nats = cross_entropy(output, batch.y)
        right = (output.argmax(-1) == batch.y).to(nats.dtype)
        count = nats.new_tensor(nats.numel())
        return {"accuracy": (right.sum(), count), "nll": (nats.sum(), count)}

    def constant(self, batch: Batch) -> Tensor:
        """The log frequencies of the training split: the best constant for both scores."""
        logits = torch.from_numpy(np.log(_frequencies())).to(device=batch.x.device, dtype=torch.float32)
        return logits.expand(len(batch.y), -1)

    def data_hashes(self) -> Mapping[str, str]:
        """The hash of the pixels and labels as loaded, since the path of scikit-learn's file does not matter."""
        return {"sklearn.datasets.load_digits": _SHA256}
