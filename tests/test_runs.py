"""Array-valued records of the run directory."""

import math
from pathlib import Path

from gatelab.runs import Run, RunWriter


def test_arrays_are_read_as_they_were_written(tmp_path: Path) -> None:
    run = Run(tmp_path, {}, {})
    assert run.arrays() == run.last_arrays() == run.inspections() == {}
    writer = RunWriter(tmp_path)
    writer.append("arrays.jsonl", {"step": 20, "timescale/0/units": [2.0, math.inf], "flow/0/h/norm": [1.0]})
    writer.append("arrays.jsonl", {"step": 10, "timescale/0/units": [1.0, 3.0]})
    writer.append("arrays.jsonl", {"step": 20, "timescale/0/units": [4.0, math.inf]})  # by a run that went on
    writer.close()
    assert run.arrays() == {
        "timescale/0/units": ([10, 20], [[1.0, 3.0], [4.0, math.inf]]),
        "flow/0/h/norm": ([20], [[1.0]]),
    }
    assert list(run.arrays("flow")) == ["timescale/0/units", "flow/0/h/norm"]  # whole lines are left out, not keys
    assert run.arrays("gate") == {}
    assert run.last_arrays() == {"timescale/0/units": [4.0, math.inf]}
