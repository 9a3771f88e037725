"""Checkpoints that are whole or absent: renamed into place, verified by their hash, with the previous one kept.

```
checkpoints/
    best.ckpt        from the best validation; it is tested
    last.ckpt        a run resumes from it
    previous.ckpt    the previous one, in case the last is damaged
    sha256.json      the hashes of each, the newest first: a kill between two renames leaves the previous one in place
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
_KEPT = 2  # hashes that are kept for a name

_log = logging.getLogger(__name__)


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints for Lightning: a reader, or a process after a kill, sees the old one or the new one.

    Nothing waits for the disk: unlike a kill, a loss of power may damage the last one, which the hash shows.

    Args:
        team: only its leader writes and reads, and passes on the content: another node may still see an older file.
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
        """Raises OSError if it cannot be written, for example on a full disk; then the old file stays."""
        if not self.team.leader:
            return
        path = Path(path)
        buffer = io.BytesIO()  # torch's writer turns every disk error into one without a reason
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
    """Writes the last checkpoint after every validation, and in between.

    ModelCheckpoint's own `save_last` skips validations that were not the best so far. Lightning calls callbacks of this type
    after all others, in order, so that the file contains the state of the one that keeps the best.

    Args:
        folder: where they are written.
        steps: optimiser steps between two; None: the other settings decide.
        seconds: wall-clock seconds between two, by the clock of the team's leader; None: the other settings decide.
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
            return  # validation comes first: a run that resumes from here would leave it out
        if self.team.granted(CHECKPOINT) or (self.steps is not None and step % self.steps == 0):
            self._save(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["gatelab_stopped"] = trainer.should_stop

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        # A run that has ended, for example by early stopping, only lacks its test.
        trainer.should_stop = checkpoint.get("gatelab_stopped", False)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved = time.monotonic()


def resumable(folder: Path) -> Path | None:
    """The checkpoint to resume from: the last, or the previous one if that is damaged; None: from the start. Logs damage."""
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
        following = "the previous one is used" if name == LAST and (folder / PREVIOUS).exists() else "the run begins again"
        _log.warning("%s %s: %s.", path, reason, following)
        _set_aside(path)
    return None


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint, as the end of a sentence; None if it is whole."""
    try:
        known = _hashes(path.parent).get(path.name)
        if known and _hash(path) not in known:
            return "is damaged (its SHA-256 is not the recorded one)"
        if not known:  # the hashes are lost, but torch's format has a checksum for each part
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
    """Corrects the state of a ModelCheckpoint in a moved directory: Lightning would keep the path and forget the best score."""

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
    """The best score that a checkpoint records; None if there was no validation before it."""
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
    """Makes a hard link to a file that will be replaced, or a copy where hard links do not exist."""
    with replacing(path) as temporary:
        try:
            temporary.unlink()
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
