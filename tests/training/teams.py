"""Several processes that train one run, as torchrun would start them."""

import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from training.resuming import cut_at, only_run, start

from gatelab.cli.main import main
from gatelab.runs import Run, read_run
from gatelab.training import parallel

# A run of half a second.
SHORT = ["cell=lstm", "model.hidden_size=8", "trainer.max_steps=20", "trainer.val_every=10", "trainer.log_every=5"]
SHORT += ["trainer.probe_every=10", "machine.progress=false", "hydra.hydra_logging.root.level=ERROR"]
PATIENCE = 300.0  # seconds; a team that hangs is a failure
JOIN = 200.0  # seconds until all must have come

Blow = tuple[int, int, Callable[[], object]]  # in which process, behind how many steps, what


class Team:
    """The processes of one command.

    Args:
        folder: what they say goes there; runs to `runs` in it.
        arguments: of `gatelab train`.
        size: how many.
        blow: what happens to one of them.
    """

    def __init__(self, folder: Path, *arguments: str, size: int = 2, blow: Blow | None = None, join: float = JOIN) -> None:
        self.folder, self.size = folder, size
        folder.mkdir(exist_ok=True)
        common = {
            "TORCHELASTIC_RUN_ID": "test",
            "WORLD_SIZE": str(size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free_port()),
        }
        self.members: list[BaseProcess] = []
        for rank in range(size):
            place = common | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            own = blow[1:] if blow is not None and blow[0] == rank else None
            given = [*SHORT, f"out={folder / 'runs'}", *arguments]
            self.members.append(start(_member, given, place, self._said(rank), own, join))

    def exits(self) -> list[int]:
        """Waits for all and returns their exit statuses."""
        for member in self.members:
            member.join(PATIENCE)
        hanging = [rank for rank, member in enumerate(self.members) if member.is_alive()]
        for rank in hanging:
            self.members[rank].kill()
        assert not hanging, f"processes {hanging} did not end: {self.said()}"
        return [member.exitcode for member in self.members]  # type: ignore[misc]

    def run(self) -> Run:
        return read_run(only_run(self.folder / "runs"))

    def said(self) -> list[str]:
        return [self._said(rank).read_text() for rank in range(self.size)]

    def _said(self, rank: int) -> Path:
        return self.folder / f"said-{rank}.txt"


def alone(folder: Path, *arguments: str) -> Run:
    """The same run in one process, which must finish."""
    folder.mkdir()
    process = start(_member, [*SHORT, f"out={folder / 'runs'}", *arguments], {}, folder / "said.txt", None, JOIN)
    process.join(PATIENCE)
    assert process.exitcode == 0, (folder / "said.txt").read_text()
    return read_run(only_run(folder / "runs"))


def finished(team: Team) -> Run:
    """The run of a team that must finish."""
    assert team.exits() == [0] * team.size, team.said()
    return team.run()


def send(number: signal.Signals) -> None:
    """Sends a signal to this process."""
    os.kill(os.getpid(), number)


def stopped_in_an_exchange() -> None:
    """SIGTERM to this process while a function of torch is at work on the group."""
    group = dist.distributed_c10d._get_default_group()
    send(signal.SIGTERM)
    del group


def breaks() -> None:
    """An error in the middle of a step."""
    raise OSError("the cable is loose")


def _member(arguments: Sequence[str], place: Mapping[str, str], said: Path, blow: Any, join: float) -> None:
    os.environ |= place
    torch.set_num_threads(1)
    with open(said, "a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    parallel.JOIN_SECONDS = join
    if blow is not None:
        cut_at(pytest.MonkeyPatch(), blow[0], end=blow[1])
    sys.exit(main(["train", *arguments]))


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return server.getsockname()[1]
