"""The compiled loop of the CPU on more and more threads, against torch.nn.LSTM on as many: a machine with a GPU has many cores."""

import dataclasses
import functools
import os
from typing import Any

from gatelab.bench import cases
from gatelab.bench.cases import Shape
from gatelab.bench.gpu.section import Rows, Setting
from gatelab.bench.rounds import Bench

COUNTS = (1, 2, 4, 8, 16)
SHAPES = (Shape(32, 500, 64, 128), Shape(64, 500, 128, 256), Shape(256, 200, 128, 512))


def rows(setting: Setting) -> Rows:
    """Shapes by numbers of threads, as many as there are cores for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shapes, counts = (cases.QUICK_SHAPES[:1], COUNTS[:1]) if setting.small else (SHAPES, COUNTS)
    return {
        f"{shape} threads={count}": functools.partial(_threads, setting, shape, count)
        for shape in shapes
        for count in counts
        if count <= cores
    }


def _threads(setting: Setting, shape: Shape, threads: int) -> dict[str, Any]:
    (case,) = cases.cases_of(cases.labelled([("lstm", {})]), [shape], "float32", False, "lstm")
    wanted = [column for column in case.columns if column.name.partition("_")[0] in ("cpu", "torch")]
    with Bench(threads, "float32", setting.rounds, (), _nothing, memory=False) as bench:
        return bench.run(dataclasses.replace(case, columns=tuple(wanted)))


def _nothing(line: str) -> None:
    """Bench has nothing to tell without peaks of memory."""
