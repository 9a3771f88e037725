"""JSB Chorales: predict the next chord of Bach's four-part harmonies."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

import numpy as np
import torch
from torch import Tensor

from gatelab.tasks import _data
from gatelab.tasks._losses import bernoulli
from gatelab.tasks._task import Batch, Split, Task

_FILE = "polyphonic_music/JSB_Chorales.mat"
_KEYS = 88
_FIELDS: dict[Split, str] = {"train": "traindata", "val": "validdata", "test": "testdata"}


@lru_cache(maxsize=1)
def _chorales() -> dict[Split, list[np.ndarray]]:
    """The piano-rolls of each split, float32 (frames, 88) of zeros and ones."""
    from scipy.io import loadmat

    content = loadmat(BytesIO(_data.read(_FILE)))
    return {split: [np.asarray(roll, dtype=np.float32) for roll in content[field].ravel()] for split, field in _FIELDS.items()}


def _pairs(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """All frames 1 .. T-1 of a split and, in the same order, the frames 2 .. T that follow them: each (frames, 88)."""
    rolls = _chorales()[split]
    return np.concatenate([roll[:-1] for roll in rolls]), np.concatenate([roll[1:] for roll in rolls])


def _probability(frames: np.ndarray) -> np.ndarray:
    """p_k = (n_k + 1/2)/(N + 1) (88,) over N frames: Jeffreys' estimate, because a key may sound in the test frames alone."""
    return (frames.sum(0, dtype=np.float64) + 0.5) / (len(frames) + 1)


def _score(probability: np.ndarray, frames: np.ndarray) -> float:
    """Nats a frame, the sum over the keys; probability (88,) or (frames, 88)."""
    return float(-np.log(np.where(frames > 0, probability, 1 - probability)).sum(1).mean())


@lru_cache(maxsize=1)
def _marginal() -> np.ndarray:
    return _probability(_pairs("train")[1])


@lru_cache(maxsize=1)
def _chance() -> float:
    return _score(_marginal(), _pairs("test")[1])


@lru_cache(maxsize=1)
def _markov() -> float:
    before, after = _pairs("train")
    sounding = np.stack([_probability(after[before[:, key] > 0, key, None])[0] for key in range(_KEYS)])
    silent = np.stack([_probability(after[before[:, key] == 0, key, None])[0] for key in range(_KEYS)])
    before, after = _pairs("test")
    return _score(np.where(before > 0, sounding, silent), after)


@dataclass(frozen=True)
class JSB(Task):
    """Next-frame prediction on the JSB Chorales: 382 chorales by J. S. Bach as piano-rolls.

        x_t = frame t,  y_t = frame t + 1,  t = 1 .. T-1;    p(key k sounds in frame t + 1 | frames 1 .. t) = sigma(output_tk)

    Layout: x, y (B, T-1, 88) float32 of zeros and ones, keys A0 .. C8 (MIDI 21 .. 108), padded with silence to the longest
    chorale of the batch; lengths (B,) = T - 1.
    Data: the .mat file of Boulanger-Lewandowski et al. 2012 as kept by Bai et al. 2018, its own split of 229, 76 and 77 chorales
    (13,807, 4,602 and 4,725 frames; 3.9 notes sound in a frame). `GATELAB_DATA_MIRROR` names a folder to read it from offline.
    Score: `nll`, the negative log-likelihood of a frame in nats, summed over the 88 keys and averaged over all predicted frames of
    the split (not over the means of chorales: long ones count for more). The first frame of a chorale is not predicted.

    Baselines on the test split, probabilities by (n + 1/2)/(N + 1) from the predicted training frames: each key by its own
    frequency 11.091 (`chance`); each key given whether it sounded in the frame before 10.491 (`markov`). Published: LSTM 8.45,
    GRU 8.43, tanh RNN 8.91 (Bai et al. 2018, Table 1).

    Raises:
        UserError: the file is missing, damaged or cannot be downloaded; raised when the data are first needed.

    References:
        Boulanger-Lewandowski, Bengio & Vincent, "Modeling Temporal Dependencies in High-Dimensional Sequences", ICML 2012.
        Bai, Kolter & Koltun, arXiv 1803.01271, 2018.
        Greff et al., "LSTM: A Search Space Odyssey", IEEE TNNLS 28(10), 2017: the same data for the comparison of LSTM variants.
    """

    metric = "nll"
    scale = "linear"  # nats a frame, all between 8 and 11
    shape = "single"  # every run learns and ends within a tenth of a nat of the others
    chance_derivation = "each key by its own frequency in the training frames (plus 1/2 of a count), on the test frames 2 .. T"
    solved_derivation = (
        "our choice: half a nat above the 8.45 of the published LSTM (Bai et al. 2018), "
        "far below the 10.49 of a first-order Markov model"
    )

    @property
    def input_size(self) -> int:
        return _KEYS

    @property
    def output_size(self) -> int:
        return _KEYS

    @property
    def chance(self) -> float:
        return _chance()

    @property
    def markov(self) -> float:
        """The test score of a first-order Markov model of each key by itself."""
        return _markov()

    @property
    def solved(self) -> float:
        return 9.0

    def size(self, split: Split) -> int | None:
        return len(_chorales()[split])

    def batch(self, split: Split, seed: int, indices: np.ndarray) -> Batch:  # noqa: ARG002 - the data know no seed
        rolls = [_chorales()[split][index] for index in indices]
        lengths = np.array([len(roll) - 1 for roll in rolls], dtype=np.int64)
        x = np.zeros((len(rolls), lengths.max(), _KEYS), dtype=np.float32)
        y = np.zeros_like(x)
        for row, (roll, length) in enumerate(zip(rolls, lengths, strict=True)):
            x[row, :length], y[row, :length] = roll[:-1], roll[1:]
        return Batch(torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(lengths))

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        nats, frames = self._nll(output, batch)
        return nats / frames

    def metrics(self, output: Tensor, batch: Batch) -> Mapping[str, tuple[Tensor, Tensor]]:
        return {"nll": self._nll(output, batch)}

    def constant(self, batch: Batch) -> Tensor:
        p = _marginal()
        return torch.from_numpy(np.log(p) - np.log1p(-p)).to(device=batch.y.device, dtype=torch.float32).expand_as(batch.y)

    def data_hashes(self) -> Mapping[str, str]:
        return {_FILE: _data.FILES[_FILE].sha256}

    def _nll(self, output: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """(sum over the valid frames, their number)."""
        assert batch.lengths is not None  # `batch` always returns them
        valid = torch.arange(output.shape[1], device=output.device) < batch.lengths[:, None]
        # Replaced before the logarithm: a kernel may leave NaN in padded frames, and 0 times NaN is NaN in the gradient too.
        nats = bernoulli(torch.where(valid[:, :, None], output, 0.0), batch.y) * valid
        total = nats.sum()
        return total, valid.sum().to(total.dtype)
