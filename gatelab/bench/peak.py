"""The machine's limit: fused multiply-adds on all threads, measured by a small C program."""

import ctypes
import functools
import threading
import time
from pathlib import Path

from gatelab.kernels.cpu.build import load

SECONDS = 0.03  # of one measurement


def gflops(dtype: str, threads: int) -> float:
    """GFLOP/s of all threads together, measured now.

    Args:
        dtype: "float32" or "float64".
        threads: how many run at once.

    Raises:
        BuildError: there is no compiler.
    """
    run, flops, iterations = _program(dtype)
    running = [threading.Thread(target=run, args=(iterations, 0.5, 0.5)) for _ in range(threads)]  # ctypes lets go of the GIL
    start = time.perf_counter()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return threads * iterations * flops / (time.perf_counter() - start) / 1e9


@functools.cache
def _program(dtype: str) -> tuple["ctypes._NamedFuncPointer", int, int]:
    """The compiled loop, operations of an iteration, and the iterations that fill SECONDS on one thread."""
    real = {"float32": "float", "float64": "double"}[dtype]
    source = Path(__file__).with_suffix(".c").read_text()
    library = load(f"#define REAL {real}\n{source}", f"peak_{real}", ("-ffp-contract=fast",))
    kind = {"float": ctypes.c_float, "double": ctypes.c_double}[real]
    run = library.gatelab_peak_run
    run.argtypes, run.restype = (ctypes.c_long, kind, kind), kind
    library.gatelab_peak_flops.restype = ctypes.c_long
    iterations = 100_000
    run(iterations, 0.5, 0.5)  # wakes the core up
    start = time.perf_counter()
    run(iterations, 0.5, 0.5)
    return run, library.gatelab_peak_flops(), max(1, int(iterations * SECONDS / (time.perf_counter() - start)))
