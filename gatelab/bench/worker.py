"""A process that measures on request: one line of JSON in, one line out.

    python -m gatelab.bench.worker found|tuned|flax THREADS [PLUGIN ...]

Allocator settings are those of a process and cannot be taken back, so that each kind of setting has a process of its own; the
client asks one process at a time.
"""

import gc
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from gatelab.bench import steps

LIMIT = 300  # seconds that a measurement of memory may take
MIB = 2**20 if sys.platform == "darwin" else 2**10  # units of ru_maxrss in one MiB


class Worker:
    """Holds the steps that were prepared and answers requests.

    Args:
        kind: "found", "tuned" or "flax".
        threads: of torch, or cores of XLA.
    """

    def __init__(self, kind: str, threads: int, plugins: list[str]) -> None:
        self.threads = threads
        self.steps: dict[str, Callable[[], None]] = {}
        self.note: str | None = None
        if kind == "flax":
            steps.limit_to(threads)
            import flax  # type: ignore[import-not-found]

            self.versions = {"flax": flax.__version__}
            return
        import torch

        from gatelab.cells import CELLS
        from gatelab.kernels.allocator import keep_memory
        from gatelab.registry.plugins import load_plugin
        from gatelab.tasks import TASKS

        torch.set_num_threads(threads)
        self.note = keep_memory() if kind == "tuned" else None
        for path in plugins:
            load_plugin(path, (CELLS, TASKS))
        self.versions = {"torch": torch.__version__}

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What a request asks for; whatever goes wrong becomes an answer, too."""
        try:
            return getattr(self, request["do"])(**{key: value for key, value in request.items() if key != "do"})
        except Exception as error:
            from gatelab.errors import UserError

            return {"refused": str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"}

    def hello(self) -> dict[str, Any]:
        """Says that all imports are done, and why the allocator could not be set, if so."""
        return {"note": self.note, "versions": self.versions}

    def prepare(self, name: str, step: Mapping[str, Any]) -> dict[str, Any]:
        """Builds a step and calls it twice: the first call may compile, the second is timed."""
        call = steps.build(step)
        call()
        seconds = _time(call, 1)
        self.steps[name] = call
        return {"seconds": seconds}

    def measure(self, name: str, calls: int, warm: bool) -> dict[str, Any]:
        """Seconds of one step, as the mean over some calls; `warm` adds one before them that is not timed."""
        call = self.steps[name]
        if warm:
            call()
        return {"seconds": _time(call, calls)}

    def release(self) -> dict[str, Any]:
        """Lets go of all steps."""
        self.steps.clear()
        gc.collect()
        return {}

    def memory(self, step: Mapping[str, Any]) -> dict[str, Any]:
        """Peak resident memory of two steps above the level after imports and a step of one number.

        The first step of a process loads code: some 45 MiB of libraries that do not belong to the step. Every
        measurement has a process of its own, forked before this one has computed anything: the imports are those of the parent,
        and the peak is reset.
        """
        if "flax" in self.versions:  # its threads begin with the import and would be missing in the child
            return {"mib": _peak_mib(step)}
        receive, send = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(send, json.dumps({"mib": _peak_mib(step)}).encode())
            finally:
                os._exit(0)
        os.close(send)
        with open(receive) as answer:
            # A fork can stand still for good where a library held a lock; no step takes this long.
            text = answer.read() if select.select([answer], [], [], LIMIT)[0] else ""
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return json.loads(text) if text else {"refused": f"the process that measures it ended, or took more than {LIMIT} s"}

    def peak(self, dtype: str) -> dict[str, Any]:
        """GFLOP/s of fused multiply-adds on all threads."""
        from gatelab.bench.peak import gflops

        return {"gflops": gflops(dtype, self.threads)}


def _peak_mib(step: Mapping[str, Any]) -> float:
    steps.build({**step, "shape": [1, 1, 1, 1]})()
    level = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    call = steps.build(step)
    call()
    call()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - level) / MIB


def _time(call: Callable[[], None], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def _serve(worker: Worker, out: TextIO) -> None:
    for line in sys.stdin:
        out.write(json.dumps(worker.answer(json.loads(line))) + "\n")
        out.flush()


if __name__ == "__main__":
    # The pipe is ours alone: whatever a library prints goes to stderr.
    pipe = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if Path("/proc/self/oom_score_adj").exists():  # where memory ends, this process goes and not what runs beside it
        Path("/proc/self/oom_score_adj").write_text("1000")
    _serve(Worker(sys.argv[1], int(sys.argv[2]), sys.argv[3:]), pipe)
