"""The run directory: identity, contents, reading, writing. The only interface between training and analysis.

```
<out>/<cell>-<task>-s<seed>-<id>/
    config.json        the resolved configuration
    status.json        state, step, times, process, attempts; of a failed run cause, error and the last good checkpoint
    metrics.jsonl      one line per record: {"step": 50, "val/nll": 8.9, ...}; append-only
    histograms.jsonl   one line per record: {"step": 50, "gate/0/forget": [count, ...]}; equal bins over [0, 1]
    arrays.jsonl       one line per record: {"step": 50, "timescale/0/units": [number, ...]}; four significant digits
    inspect.json       what `gatelab inspect` found of the trained model
    summary.json       what `compare` needs of a finished run
    provenance.json    versions, git commit, data and plugin hashes, CPU, GPU
    plugins/<role>/    the user's files that define its cell or its task, as they were when it was trained
    checkpoints/       best.ckpt, last.ckpt and previous.ckpt, and their hashes
    lock-<n>           who is training it (gatelab.runs.lock)
    train.log .hydra/  the run's own log and what Hydra composed it from
```

config.json, status.json, summary.json, provenance.json and inspect.json, and the plan.json of a sweep, begin with the number of
their format, `"format": 1`. A file of a newer format is not read and not replaced.

A later record of the same step wins: a run that resumed from a checkpoint repeats the steps after it.

These directories are the ledger of a sweep and the only truth about it: launchers and schedulers lose jobs and report failed ones
as completed. A run is

- `queued`: waiting to be trained,
- `running`: host, process and time of its last heartbeat show whether it still is,
- `finished`: it has a summary,
- `failed`: cause, error, traceback and step say why,
- `preempted`: stopped from outside (Ctrl-C, SIGTERM, a time limit); it resumes from its last checkpoint,
- `pruned`: ended early by a search that has seen enough.
"""

from gatelab.runs.declared import Scale, Shape
from gatelab.runs.run import (
    ADDED,
    NOT_IDENTITY,
    Run,
    Skipped,
    find_runs,
    identity,
    outcome_of,
    read_run,
    roles,
    run_name,
    with_added,
)
from gatelab.runs.writer import STATES, RunBusyError, RunWriter, SilentWriter, Writer, enqueue, mark

__all__ = [
    "ADDED",
    "NOT_IDENTITY",
    "STATES",
    "Run",
    "RunBusyError",
    "RunWriter",
    "Scale",
    "Shape",
    "SilentWriter",
    "Skipped",
    "Writer",
    "enqueue",
    "find_runs",
    "identity",
    "mark",
    "outcome_of",
    "read_run",
    "roles",
    "run_name",
    "with_added",
]
