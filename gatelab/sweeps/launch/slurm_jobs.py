"""The work of the launcher `slurm`, which uses hydra-submitit-launcher.

It adds to that: a job stops its run cleanly before submitit requeues it; the launching process asks `squeue` instead of the
accounting, which reports COMPLETED even if Python raised and which some clusters lack; one lost job does not end the sweep.
"""

import contextlib
import math
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import submitit  # pyright: ignore[reportMissingImports] - an extra
import submitit.core.utils  # pyright: ignore[reportMissingImports]
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf  # pyright: ignore[reportMissingImports]
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher  # pyright: ignore[reportMissingImports]

from gatelab.errors import Stopped, UserError
from gatelab.process import place
from gatelab.process.output import say
from gatelab.process.signals import stoppable
from gatelab.runs import outcome_of
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.jobs.resources import needs_of
from gatelab.sweeps.launch.batch import ENDED_WELL, JobBatch, compose_again, note
from gatelab.training.failures import PeerLostError
from gatelab.training.parallel import check_shares
from gatelab.training.spec import Spec

ENDED = ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT")
COME_BACK = ("BOOT_FAIL", "NODE_FAIL", "PREEMPTED", "TIMEOUT")  # ends that are not the run's fault
SUBMISSIONS = 5  # the most submissions of a run whose job ended so without being requeued
LOOKS_FOR_A_RESULT = 4  # to wait for the result of an ended job: a shared file system shows it late
SECONDS_BETWEEN_LOOKS = (1.0, 10.0)  # between two queries, at first and later
SHARE_OF_MEMORY = 2.0  # the requested memory as a multiple of the estimate, because Slurm kills jobs that take more
FIRST_PORT, PORTS = 10_000, 20_000  # where the tasks of a job meet
PROCESS_GB = 1.0  # for Python and torch, which on a node no other run has loaded


class RunJob(SlurmLauncher):
    """The function that a Slurm job calls, unpickled from the submitting process.

    Attributes:
        planned: the directory of every run at its submission, by its overrides.
    """

    planned: Mapping[tuple[str, ...], Path]

    def __call__(self, *arguments: Any) -> JobReturn:
        """Trains one run; at a signal it ends the run cleanly, and only then lets submitit requeue the job.

        SIGTERM (scancel, preemption by Slurm itself) ends the job with status 143; submitit's signal (USR2) requeues it. The tasks
        of a job train its run together; if one of them is gone, the others fail and the job is submitted again.
        """
        here = submitit.JobEnvironment()
        requeue_signal = here._usr_sig()
        requeue: Any = signal.getsignal(requeue_signal)  # submitit's
        overrides, *others = arguments
        if here.num_tasks > 1:
            place.declare(_place(here))
        assert self.hydra_context is not None and self.config is not None  # after `setup`
        compose_again(self.hydra_context, self.config, others[-1], overrides, self.planned[tuple(overrides)])
        if not place.leads():
            overrides = [*overrides, "hydra.output_subdir=null"]
        try:
            with stoppable(requeue_signal):
                done = super().__call__(overrides, *others)
        except Stopped as stopped:
            for number in (requeue_signal, signal.SIGTERM):  # requeueing sends SIGTERM
                signal.signal(number, signal.SIG_IGN)
            if stopped.number == requeue_signal:
                requeue(requeue_signal, None)
                time.sleep(60)  # the first of several processes requeues the job, which ends the others
            sys.exit(128 + signal.SIGTERM)
        function: Any = self.task_function  # a JobFunction
        if any(isinstance(error, PeerLostError) for error in function.session.failed):
            sys.exit(1)  # without a result, which would mean that nothing is left to do
        return done


def _place(here: submitit.JobEnvironment) -> place.Place:
    """The place of this task in its job. Jobs on one node have different ports, below those that systems assign automatically."""
    port = FIRST_PORT + int(here.raw_job_id) % PORTS
    return place.Place(here.global_rank, here.num_tasks, here.local_rank, here.hostnames[0], port)


def train(batch: JobBatch) -> None:
    """Trains the jobs on the cluster; finished runs are not submitted.

    Raises:
        UserError: Slurm does not accept the jobs.
    """
    jobs = batch.jobs
    work = RunJob(**batch.settings)
    work.setup(hydra_context=batch.context, task_function=batch.task, config=batch.config)
    work.planned = {tuple(item): job.path for item, job in zip(batch.overrides, jobs, strict=True)}
    executor = _executor(batch.settings, jobs)
    left = batch.queue()
    for _ in range(SUBMISSIONS):
        if not left:
            break
        numbers = {index: batch.first + index for index in left}
        calls = [(batch.overrides[index], "hydra.sweep.dir", number, str(number)) for index, number in numbers.items()]
        submitted = dict(zip(left, _submit(executor, work, calls), strict=True))
        ends = _wait(submitted)
        left = [number for number, end in ends.items() if not _settled(jobs[number], submitted[number], end)]
    for number in left:
        note(jobs[number], "failed", f"Slurm took it from its node {SUBMISSIONS} times.")


def _executor(settings: Mapping[str, Any], jobs: Sequence[compose.Job]) -> submitit.AutoExecutor:
    """submitit's settings, with processors and memory estimated from the runs if they are not given.

    Raises:
        UserError: these are not settings of Slurm, or the tasks of a job cannot divide a batch.
    """
    given = dict(settings)
    needs = [needs_of(job.config) for job in jobs]
    on_node, nodes = (int(given.get(name) or 1) for name in ("tasks_per_node", "nodes"))
    if on_node * nodes > 1:
        for job in jobs:
            check_shares(Spec(job.config), on_node * nodes)
    if given.get("cpus_per_task") is None:
        given["cpus_per_task"] = max(need.threads for need in needs)
    if all(given.get(name) is None for name in ("mem_gb", "mem_per_cpu", "mem_per_gpu")):
        given["mem_gb"] = math.ceil(on_node * (PROCESS_GB + SHARE_OF_MEMORY * max(need.memory for need in needs) / 2**30))
    folder, timeouts = given.pop("submitit_folder"), given.pop("max_num_timeout")
    try:
        python = f"{shlex.quote(sys.executable)} -P"  # a file in the current folder must not replace a module
        executor = submitit.AutoExecutor(folder=folder, cluster="slurm", slurm_max_num_timeout=timeouts, slurm_python=python)
        shared = {field.name for field in fields(BaseQueueConf)}
        executor.update_parameters(**{name if name in shared else f"slurm_{name}": value for name, value in given.items()})
    except (RuntimeError, ValueError) as error:
        raise UserError(f"Slurm's jobs cannot be described: {error}") from error
    return executor


def _submit(executor: submitit.AutoExecutor, work: RunJob, calls: Sequence[tuple[Any, ...]]) -> list[submitit.Job[Any]]:
    """Submits one job for each call, in arrays as large as this cluster allows."""
    state = Singleton.get_state()
    submitted: list[submitit.Job[Any]] = []
    largest = largest_array()
    try:
        for start in range(0, len(calls), largest):
            part = [(*call, state) for call in calls[start : start + largest]]
            submitted += executor.map_array(work, *zip(*part, strict=True))
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        _cancel(submitted)
        lines = [line for line in str(error).splitlines() if "error:" in line] or str(error).splitlines()[-1:]
        raise UserError(f"Slurm does not accept the jobs: {' '.join(lines)}") from error
    except BaseException:
        _cancel(submitted)
        raise
    numbers = ", ".join(sorted({job.job_id.partition("_")[0] for job in submitted}))
    runs = "1 run" if len(calls) == 1 else f"{len(calls)} runs"
    say(f"Submitted {runs} as Slurm job {numbers}. Ctrl-C cancels {'it' if len(calls) == 1 else 'them'}.", stderr=True)
    return submitted


def largest_array() -> int:
    """The most jobs that one array may have on this cluster."""
    shown = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True)
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", shown.stdout, re.MULTILINE)
    return max(1, int(found.group(1)) - 1) if found else 1000


def _wait(submitted: Mapping[int, submitit.Job[Any]]) -> dict[int, str]:
    """Waits until every job has ended.

    Returns:
        The end of each, in Slurm's word; COMPLETED if it left a result, "" if Slurm has forgotten it.
    """
    ends: dict[int, str] = {}
    looks: Counter[int] = Counter()
    started = time.monotonic()
    try:
        while len(ends) < len(submitted):
            states = states_of({job.job_id.partition("_")[0] for number, job in submitted.items() if number not in ends})
            for number, job in submitted.items():
                if number in ends:
                    continue
                if _has_result(job):
                    ends[number] = "COMPLETED"
                elif states is not None and (state := states.get(job.job_id, "")) in (*ENDED, ""):
                    looks[number] += 1
                    if looks[number] == LOOKS_FOR_A_RESULT:
                        ends[number] = state
                else:
                    looks[number] = 0
            low, high = SECONDS_BETWEEN_LOOKS
            time.sleep(min(high, low + (time.monotonic() - started) / 60))
    except BaseException:
        _cancel([job for number, job in submitted.items() if number not in ends])
        raise
    return ends


def states_of(numbers: set[str]) -> dict[str, str] | None:
    """The state of every job of these arrays that Slurm still knows, by its id ("12_3"); None if Slurm does not answer."""
    command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i %T", f"--jobs={','.join(sorted(numbers))}"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if shown.returncode != 0 and "Invalid job id" not in shown.stderr:
        return None
    return dict(line.split()[:2] for line in shown.stdout.splitlines() if len(line.split()) >= 2)


def _has_result(job: submitit.Job[Any]) -> bool:
    folder = job.paths.folder
    with contextlib.suppress(OSError):
        folder.chmod(folder.stat().st_mode)  # refreshes the cache of a network file system
    return all(job.task(number).paths.result_pickle.exists() for number in range(job.num_tasks))


def _settled(job: compose.Job, submitted: submitit.Job[Any], end: str) -> bool:
    """Whether a run has ended, by its directory; if its process could not record the end, this does."""
    state = outcome_of(job.path)
    if state not in ENDED_WELL and (end in COME_BACK or (end == "FAILED" and state == "preempted")):
        return False
    if state in (*ENDED_WELL, "failed"):
        return True
    where = f"its output is in {submitted.paths.folder}"
    if end == "COMPLETED":
        error = submitted.exception()
        if error is not None:
            lines = [line for line in str(error).splitlines() if line and line[0].isalpha() and ": " in line]
            note(job, "failed", f"{(lines or [str(error)])[-1].strip()} ({where})", "error")
        return True
    if end == "CANCELLED":
        note(job, "preempted", f"Slurm job {submitted.job_id} was cancelled.")
        return True
    cause = "memory" if end == "OUT_OF_MEMORY" else "killed"
    note(job, "failed", f"Slurm job {submitted.job_id} ended as {end or 'unknown'} without a result; {where}.", cause)
    return True


def _cancel(jobs: Sequence[submitit.Job[Any]]) -> None:
    """Cancels jobs; running ones get SIGTERM and half a minute, and their runs can resume later."""
    if jobs:
        subprocess.run(["scancel", *(job.job_id for job in jobs)], stderr=subprocess.DEVNULL)
