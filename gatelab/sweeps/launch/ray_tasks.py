"""The work of the launcher `ray`.

hydra-ray-launcher is not used: its stable release needs a cloudpickle that joblib refuses, and one lost task ends its sweep.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray  # pyright: ignore[reportMissingImports] - an extra
import ray.exceptions  # pyright: ignore[reportMissingImports]

import gatelab
from gatelab.errors import UserError, first_line
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.jobs.resources import needs_of
from gatelab.sweeps.launch.batch import JobBatch, note

SECONDS_TO_JOIN = 40.0  # to join; a cluster answers within two
SECONDS_TO_STOP = 30.0  # for runs to record that they were stopped
HOME = Path(gatelab.__file__).parents[1]  # where gatelab is imported from
OF_GATELAB = ("GATELAB_", "WANDB_")  # variables of the environment that a task gets from here


def train(batch: JobBatch) -> None:
    """Trains the jobs on the cluster; a task whose node dies is retried and resumes.

    Raises:
        UserError: the cluster does not exist.
    """
    settings = batch.settings["ray"]
    connect(settings["init"])
    environment = {name: value for name, value in os.environ.items() if name.startswith(OF_GATELAB)}
    shared = ray.put((batch.work(), os.getcwd(), environment))
    running: dict[Any, int] = {}
    try:
        for number in batch.queue():
            job = batch.jobs[number]
            need = needs_of(job.config)
            options = {"num_cpus": need.threads, "memory": need.memory, **settings["remote"]}
            arguments = shared, batch.overrides[number], batch.first + number, job.path
            running[ray.remote(**options)(_train).remote(*arguments)] = number
        while running:
            ready, _ = ray.wait([*running])
            for reference in ready:
                _settle(batch.jobs[running.pop(reference)], reference)
    except BaseException:
        _cancel([*running])
        raise


def connect(options: Mapping[str, Any]) -> None:
    """Joins the cluster.

    Raises:
        UserError: the cluster does not exist or cannot be joined.
    """
    if ray.is_initialized():
        return
    address = options.get("address")
    if address not in (None, "local") and (reason := _refused(dict(options))):
        raise UserError(
            f"There is no Ray cluster at '{address}': {reason} Start one with `ray start --head --port=6379` and, on other nodes, "
            "`ray start --address=HEAD:6379`, with the same RAY_AUTH_MODE for all of them and here; or give "
            "hydra.launcher.ray.init.address=null for only this machine."
        )
    try:
        with contextlib.chdir(HOME):  # otherwise Ray's workers would import modules from the current folder first
            ray.init(**options)
    except (ConnectionError, RuntimeError, ray.exceptions.RayError) as error:
        raise UserError(f"Ray does not start: {first_line(error)}.") from error


def _refused(options: Mapping[str, Any]) -> str | None:
    """Why the cluster cannot be joined; None if it can.

    It is tried in a separate process: without a cluster, or with another RAY_AUTH_MODE, `ray.init` does not return.
    """
    command = [sys.executable, "-P", "-c", "import json, sys, ray; ray.init(**json.loads(sys.argv[1]))", json.dumps(options)]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_JOIN)
    except subprocess.TimeoutExpired:
        return f"nothing answers within {SECONDS_TO_JOIN:.0f} s."
    if tried.returncode == 0:
        return None
    lines = [line for line in tried.stderr.splitlines() if line.strip()] or [f"exit status {tried.returncode}."]
    return lines[-1].partition(": ")[2] or lines[-1]


def _train(shared: tuple[Any, ...], overrides: list[str], number: int, path: Path) -> None:
    """Trains one job, in its own process on some node."""
    work, folder, environment = shared
    os.environ.update(environment)
    os.chdir(folder)
    work(number, overrides, path).return_value  # noqa: B018 - raises what the job raised


def _settle(job: compose.Job, reference: Any) -> None:
    """Records in the directory of a run how its task ended, unless the run did so itself."""
    try:
        ray.get(reference)
    except ray.exceptions.OutOfMemoryError as error:
        note(job, "failed", f"Its node ran out of memory: {first_line(error)}.", "memory")
    except ray.exceptions.RayTaskError as error:
        note(job, "failed", f"{type(error.cause).__name__}: {first_line(error.cause)}", "error")
    except ray.exceptions.RayError as error:
        note(job, "failed", f"Ray gave it up: {first_line(error)}.", "killed")


def _cancel(references: list[Any]) -> None:
    """Cancels tasks; runs that are being trained are interrupted as by Ctrl-C, and can resume later."""
    for reference in references:
        with contextlib.suppress(Exception):
            ray.cancel(reference)
    with contextlib.suppress(Exception):
        ray.wait(references, num_returns=len(references), timeout=SECONDS_TO_STOP)
