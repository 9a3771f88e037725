"""Checkpoints that are whole or not there: renamed into place, known by their hash, the one before the last kept.

```
checkpoints/
    best.ckpt        of the best validation: what is tested
    last.ckpt        what a run resumes from
    previous.ckpt    the one before, should the last be damaged
    sha256.json      the hashes of each, the newest first: a kill between two renames leaves the one before in place
```
"""

import functools
import hashlib
import io
import logging
import os
import shutil
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from gatelab.errors import UserError, first_line
from gatelab.runs.files import read_json, replacing, write_json
from gatelab.tasks import Batch
from gatelab.training.parallel import CHECKPOINT, Team

BEST, LAST, PREVIOUS, HASHES = "best.ckpt", "last.ckpt", "previous.ckpt", "sha256.json"
_KEPT = 2  # hashes of a name

_log = logging.getLogger(__name__)


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints for Lightning: a reader, and a process that comes after a kill, sees the old one or the new one.

    Nothing waits for the disk: after a loss of power, other than after a kill, the last may be damaged, which the hash shows.

    Args:
        team: its leader alone writes and reads, and hands on what it read: another node may still see an older file.
    """

    def __init__(self, team: Team | None = None) -> None:
        super().__init__()
        self.team = team or Team()

    def load_checkpoint(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self.team.from_leader(functools.partial(super().load_checkpoint, *args, **kwargs))

    def remove_checkpoint(self, path: Any) -> None:
        if self.team.leader:
            super().remove_checkpoint(path)

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Raises OSError if it cannot be written, on a full disk for example; what was there then stays as it was."""
        if not self.team.leader:
            return
        path = Path(path)
        buffer = io.BytesIO()  # torch's own writer turns every error of the disk into one that says nothing
        torch.save(checkpoint, buffer)
        content = buffer.getbuffer()
        hashes = _hashes(path.parent)
        with replacing(path) as temporary:
            temporary.write_bytes(content)
            if path.name == LAST and path.exists():
                _note(hashes, PREVIOUS, *hashes.get(LAST, [])[:1])
            _note(hashes, path.name, hashlib.sha256(content).hexdigest())
            write_json(path.parent / HASHES, hashes)
            if path.name == LAST and path.exists():
                _copy(path, path.with_name(PREVIOUS))


class LastCheckpoint(Checkpoint):
    """Writes the last checkpoint after every validation, and between two of them.

    ModelCheckpoint's own `save_last` skips validations that were not the best so far. Lightning calls callbacks of this type
    behind all others, in order, so that the state of the one that keeps the best is in the file.

    Args:
        folder: where to.
        steps: optimiser steps between two; None: only as the other settings say.
        seconds: wall-clock seconds between two, by the clock of the team's leader; None: likewise.
    """

    def __init__(self, folder: Path, steps: int | None = None, seconds: float | None = None, team: Team | None = None) -> None:
        self.path, self.steps, self.seconds, self.team = folder / LAST, steps, seconds, team or Team()
        self._saved = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        if self.seconds is not None and time.monotonic() - self._saved >= self.seconds:
            self.team.wish(CHECKPOINT)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int) -> None:
        step = trainer.global_step
        if trainer.should_stop or step % trainer.val_check_batch == 0:  # type: ignore[operator] - a number, see fit
            return  # validation comes first: what goes on from here would leave it out
        if self.team.granted(CHECKPOINT) or (self.steps is not None and step % self.steps == 0):
            self._save(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["gatelab_stopped"] = trainer.should_stop

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        # A run that had come to its end, by early stopping for example, only lacks its test.
        trainer.should_stop = checkpoint.get("gatelab_stopped", False)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved = time.monotonic()


def resumable(folder: Path) -> Path | None:
    """The checkpoint to resume from: the last, or the one before if that is damaged; None: from the start. Says what is damaged."""
    for name in (LAST, PREVIOUS):
        path = folder / name
        if not path.exists():
            continue
        reason = damage(path)
        if reason is None and _best(path) is not None:
            reason = damage(folder / BEST)
            if reason is not None:
                _log.warning("%s %s: the run begins again, since its best weights are lost.", folder / BEST, reason)
                for there in (LAST, PREVIOUS):
                    _set_aside(folder / there)
                return None
        if reason is None:
            hashes = _hashes(folder)
            hashes[name] = [_hash(path)]
            write_json(folder / HASHES, hashes)
            return path
        following = "the one before is taken" if name == LAST and (folder / PREVIOUS).exists() else "the run begins again"
        _log.warning("%s %s: %s.", path, reason, following)
        _set_aside(path)
    return None


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint, as the end of a sentence; None if it is whole."""
    try:
        known = _hashes(path.parent).get(path.name)
        if known and _hash(path) not in known:
            return "is damaged (its SHA-256 is not the one that was noted)"
        if not known:  # the hashes are lost: torch's format has a sum for each of its parts
            with zipfile.ZipFile(path) as file:
                if file.testzip() is not None:
                    return "is damaged (a checksum is wrong)"
        torch.load(path, weights_only=True, map_location="cpu", mmap=True)
    except FileNotFoundError:
        return "is missing"
    except Exception as error:  # torch has no error of its own for a damaged file
        return f"cannot be read ({first_line(error)})"
    return None


def relocated(state: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """The state of a ModelCheckpoint whose directory has moved: Lightning would forget the best score and keep its old path."""

    def moved(path: str) -> str:
        return os.path.join(folder, os.path.basename(path)) if path else path

    paths = {key: moved(state[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path") if key in state}
    best = {moved(path): score for path, score in state.get("best_k_models", {}).items()}
    return {**state, **paths, "best_k_models": best, "dirpath": folder}


def _set_aside(path: Path) -> None:
    """Keeps a checkpoint that must not be used, so that a user can look at it."""
    if path.exists():
        os.replace(path, path.with_suffix(".damaged"))


def _best(path: Path) -> Any:
    """The best score that a checkpoint knows of; None if there was no validation before it."""
    callbacks = torch.load(path, weights_only=True, map_location="cpu", mmap=True).get("callbacks", {})
    return next((state["best_model_score"] for state in callbacks.values() if "best_model_score" in state), None)


def _hashes(folder: Path) -> dict[str, list[str]]:
    try:
        found = read_json(folder / HASHES)
    except UserError:
        return {}
    return {name: value for name, value in found.items() if isinstance(value, list)}


def _note(hashes: dict[str, list[str]], name: str, *new: str) -> None:
    hashes[name] = [*new, *hashes.get(name, [])][:_KEPT]


def _hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(source: Path, path: Path) -> None:
    """Makes a second name for a file that will be replaced, or where there are no hard links a copy."""
    with replacing(path) as temporary:
        try:
            temporary.unlink()
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
