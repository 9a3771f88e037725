"""Several processes train one run: they divide the rows of every batch, and all make the same step.

```
rows       process r of n has the rows ceil(r B / n) .. ceil((r + 1) B / n) - 1 of every batch; batches are those of one process
loss       L = sum_r w_r L_r / sum_r w_r        w_r: what the loss L_r of its rows is a mean over (Task.weight)
gradient   dL = sum_r (w_r / w) dL_r            exact but for the order of the additions; every process has the same bits
scores     sums and weights of a split are added up over the processes
```

Process 0 leads: only it holds the lock, writes, and decides by clocks and files. Each step begins with an exchange of a few numbers
through gloo, which notices when a process is gone; gradients go through nccl on a GPU.

A process that ends by an error or a signal writes the reason to the common store and closes its connections; that interrupts the
others, which end for the same reason. A process that gives no reason was killed.
"""

import contextlib
import functools
import itertools
import json
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]
from torch.distributed.distributed_c10d import PrefixStore, Store

from gatelab.errors import Stopped, UserError, first_line
from gatelab.process import place as processes
from gatelab.process import signals
from gatelab.runs.lock import RunBusyError
from gatelab.tasks import Batch
from gatelab.training import failures
from gatelab.training.failures import PeerFailedError, PeerLostError
from gatelab.training.spec import Spec

T = TypeVar("T")

JOIN_SECONDS = 300.0  # until all processes have joined
SILENT_SECONDS = 600.0  # for which one may keep the others waiting (a slow disk, the end of W&B) before it counts as gone
LEADER_SECONDS = 120.0  # for which the others wait until the leader has noted the end: one that exits may take all others with it
FOLLOWER_SECONDS = 5.0  # for which the leader then waits for the others
_LOOK_SECONDS = 0.05
_TRY = timedelta(seconds=2)  # of one attempt to reach the store; signals are handled in between
_ANSWER = timedelta(seconds=30)  # until a store that can be reached has answered

CHECKPOINT, END = "checkpoint", "end"  # what the leader may request, by its clock
_WISHES = (CHECKPOINT, END)
_REASON = "reason"

_groups = itertools.count()  # every run has its own keys in the store


class Team:
    """The processes of a run: in this class a single one; `together` returns the suitable class.

    Attributes:
        rank, size, local_rank: as in `gatelab.process.place.Place`.
    """

    rank, size, local_rank = 0, 1, 0

    def __init__(self) -> None:
        self._wished: set[str] = set()
        self._granted: set[str] = set()

    @property
    def leader(self) -> bool:
        """Whether this process writes and decides."""
        return self.rank == 0

    def rows(self, count: int) -> slice:
        """The rows of this process in a batch of `count`; the numbers of rows differ by at most one, process 0 has the most."""
        first, stop = (-(-place * count // self.size) for place in (self.rank, self.rank + 1))
        return slice(first, stop)

    def wish(self, what: str) -> None:
        """Requests CHECKPOINT or END, as the leader, at the end of the step that is about to begin."""
        if self.leader:
            self._wished.add(what)

    def granted(self, what: str) -> bool:
        """Whether it is requested from all processes at the end of this step."""
        return what in self._granted

    def mean(self, value: float, weight: float) -> tuple[float, float]:
        """The weighted mean of a value over all processes, and the share of this one in it; passes on requests.

        Raises:
            RunFailedError, KeyboardInterrupt, UserError: another process has ended. All methods that exchange raise them.
        """
        self._granted, self._wished = self._wished, set()
        return value, 1.0

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replaces every gradient by its sum over all processes."""

    def equalise(self, module: nn.Module) -> None:
        """Copies the leader's weights and buffers to all: initial values may differ in the last bit between processors."""

    def gather(self, value: T) -> list[T]:
        """The values of all processes, by rank."""
        return [value]

    def from_leader(self, work: Callable[[], T]) -> T:
        """The result of a function that only the leader calls."""
        return work()


class _Several(Team):
    """A team of several processes, connected."""

    def __init__(self, here: processes.Place) -> None:
        super().__init__()
        self.rank, self.size, self.local_rank = here.rank, here.size, here.local_rank
        self._store = PrefixStore(f"gatelab/{next(_groups)}", _store(here))
        self._store.set(f"here/{self.rank}", "")
        missing = self._wait_for("here", range(self.size), JOIN_SECONDS)
        if missing:
            raise UserError(
                f"{self.size} processes were to train this run together, but {', '.join(map(str, missing))} did not come within "
                f"{JOIN_SECONDS:.0f} s. Their own output says why."
            )
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
        with self._exchange():
            dist.init_process_group(
                backend, store=self._store, rank=self.rank, world_size=self.size, timeout=timedelta(seconds=SILENT_SECONDS)
            )

    def mean(self, value: float, weight: float) -> tuple[float, float]:
        told = torch.tensor([weight, weight * value, *(wish in self._wished for wish in _WISHES)], dtype=torch.float64)
        with self._exchange():
            dist.all_reduce(told)
        total, summed, *wished = told.tolist()
        self._granted, self._wished = {wish for wish, said in zip(_WISHES, wished, strict=True) if said}, set()
        return summed / total, weight / total

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        gradients = [value.grad for value in parameters if value.grad is not None]
        whole = torch.cat([gradient.reshape(-1) for gradient in gradients])
        with self._exchange():
            dist.all_reduce(whole)
        for gradient, summed in zip(gradients, whole.split([each.numel() for each in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))

    def equalise(self, module: nn.Module) -> None:
        values = [value.detach() for value in (*module.parameters(), *module.buffers())]
        given = self.from_leader(lambda: [value.cpu() for value in values])
        for value, one in zip(values, given, strict=True):
            value.copy_(one)

    def gather(self, value: T) -> list[T]:
        found: list[Any] = [None] * self.size
        with self._exchange():
            dist.all_gather_object(found, value)
        return found

    def from_leader(self, work: Callable[[], T]) -> T:
        told = [work() if self.leader else None]
        with self._exchange():
            dist.broadcast_object_list(told, src=0, device=torch.device("cpu"))
        return told[0]  # type: ignore[return-value]

    def tell(self, error: BaseException) -> None:
        """Writes to the store what ends this process; the first reason counts."""
        note = _note(error)
        if note is not None:
            with contextlib.suppress(RuntimeError):
                self._store.compare_set(_REASON, "", json.dumps(note))

    def leave(self) -> None:
        """Closes the connections. The leader, which may host the store, waits until the others have seen that it noted the end."""
        if dist.is_initialized():
            dist.destroy_process_group()
        with contextlib.suppress(RuntimeError):  # the store is gone with the process that hosted it
            if self.leader:
                self._store.set("noted/0", "")
                self._wait_for("left", range(1, self.size), FOLLOWER_SECONDS)
            else:
                self._wait_for("noted", [0], LEADER_SECONDS)
                self._store.set(f"left/{self.rank}", "")

    def _wait_for(self, what: str, ranks: Iterable[int], seconds: float) -> list[int]:
        """Waits for the marks of these processes and returns the missing ones; in several calls, so that signals are handled."""
        deadline = time.monotonic() + seconds
        missing = [*ranks]
        while missing := [rank for rank in missing if not self._store.check([f"{what}/{rank}"])]:
            if time.monotonic() >= deadline:
                break
            time.sleep(_LOOK_SECONDS)
        return missing

    @contextlib.contextmanager
    def _exchange(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # gloo has no class of its own for a connection that was closed
            raise self._why() from error

    def _why(self) -> BaseException:
        """The error that ended another process."""
        try:
            note = json.loads(self._store.get(_REASON)) if self._store.check([_REASON]) else {}
        except RuntimeError:
            note = {}
        match note.get("kind"):
            case "stopped":
                return signals.passed_on(note["number"])
            case "busy":
                return RunBusyError(note["text"])
            case "refused":
                return UserError(note["text"])
            case "failed":
                return PeerFailedError(note["text"], note["cause"], note["trace"])
            case _:
                return PeerLostError(
                    f"One of the {self.size} processes that trained it is gone. The same command resumes from the last checkpoint."
                )


@contextlib.contextmanager
def together() -> Iterator[Team]:
    """The team of this process; all its processes call this, and end together.

    Raises:
        UserError: some processes did not join.
        RunFailedError, KeyboardInterrupt, UserError: the error that ended another process.
    """
    here = processes.place()
    if here is None:
        yield Team()
        return
    team = _Several(here)
    try:
        yield team
    except BaseException as error:
        team.tell(error)
        _let_go(error)
        raise
    finally:
        team.leave()


def _let_go(error: BaseException | None) -> None:
    """Clears the frames that an error came through: those of torch hold the group, and others would wait for its connections."""
    found: list[BaseException | None] = [error]
    for one in found:  # it grows
        if one is not None:
            traceback.clear_frames(one.__traceback__)
            found += [each for each in (one.__cause__, one.__context__) if each is not None and each not in found]


def check_shares(spec: Spec, size: int) -> None:
    """Refuses this number of processes if they cannot divide a batch, or if the result would change.

    Raises:
        UserError: a batch has fewer rows than there are processes, or the loss is not the mean that the task declares.
    """
    task, rows = spec.task, spec.config.trainer.batch_size
    available = task.size("train")
    rows = rows if available is None else min(rows, available)
    if rows < size:
        raise UserError(
            f"A batch of {rows} rows cannot be divided among {size} processes. Use trainer.batch_size={size} or more, or fewer "
            "processes."
        )
    batch = task.batch("train", 0, np.arange(min(rows, 2 * size)))
    output = torch.randn(task.constant(batch).shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    parts = [_cut(output, batch, place) for place in range(2)]
    weights = [task.weight(part) for _, part in parts]
    mean = sum(weight * task.loss(*part).item() for weight, part in zip(weights, parts, strict=True)) / sum(weights)
    if not abs(mean - task.loss(output, batch).item()) <= 1e-6 * abs(mean):
        raise UserError(
            f"The loss of task '{spec.task_name}' is not the mean that its method `weight` says, so that its batches cannot "
            f"be divided among {size} processes. Have `weight` return what the loss of a batch is a mean over, or use one process."
        )


def _cut(output: Tensor, batch: Batch, half: int) -> tuple[Tensor, Batch]:
    """One half of a batch, with the output that belongs to it."""
    middle = (len(batch.x) + 1) // 2
    rows = slice(0, middle) if half == 0 else slice(middle, None)
    return output[rows], batch.rows(rows)


@functools.cache
def _store(here: processes.Place) -> Store:
    """The common store; process 0 keeps it until it exits, for processes that still look for the reason of an end."""
    deadline = time.monotonic() + JOIN_SECONDS
    hosts = here.hosted and here.rank == 0
    while True:
        try:
            if not hosts:  # torch would print many lines about a leader that comes later
                socket.create_connection((here.address, here.port), _TRY.total_seconds()).close()
            store = TCPStore(here.address, here.port, None, hosts, timeout=_ANSWER, wait_for_workers=False)
            store.set_timeout(_TRY)
            return store
        except (OSError, RuntimeError) as error:
            time.sleep(_LOOK_SECONDS)
            if time.monotonic() >= deadline or hosts:
                raise UserError(
                    f"Process {here.rank} of {here.size} cannot {'host' if here.rank == 0 else 'reach'} the store of its run at "
                    f"{here.address}, port {here.port}: {first_line(error)}."
                ) from error


def _note(error: BaseException) -> dict[str, Any] | None:
    """The message to the other processes about an error; None if they need none."""
    if isinstance(error, (PeerFailedError, PeerLostError)):
        return None
    if isinstance(error, KeyboardInterrupt):
        return {"kind": "stopped", "number": error.number if isinstance(error, Stopped) else int(signal.SIGINT)}
    if isinstance(error, UserError):
        return {"kind": "busy" if isinstance(error, RunBusyError) else "refused", "text": str(error)}
    if not isinstance(error, Exception):
        return None
    origin = error.__cause__ or error
    if isinstance(origin, (PeerFailedError, PeerLostError)):
        return None
    cause, text = failures.explain(origin, Path())
    return {"kind": "failed", "text": text, "cause": cause, "trace": "".join(traceback.format_exception(origin))}
