"""The launcher `slurm`: an array of Slurm's jobs, one a run, on a file system that all nodes share. pip install 'gatelab[slurm]'

gatelab train -m hydra/launcher=slurm hydra.launcher.partition=cpu cell=lstm,cifg 'seed=range(10)'

At preemption, and `signal_delay_s` before its time limit, a job stops, is requeued and resumes from its last checkpoint.
hydra.launcher.nodes=2 hydra.launcher.tasks_per_node=4: eight processes divide the rows of each batch of a run, as with torchrun.
"""

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gatelab.config import LONGEST_PATH
from gatelab.errors import UserError
from gatelab.options import option
from gatelab.sweeps.contracts import Launcher
from gatelab.sweeps.jobs.needs import MOST_JOBS

if TYPE_CHECKING:
    from gatelab.sweeps.launch.batch import JobBatch

SECONDS = 60.0  # to wait for an answer of its controller, which can be busy


def _requeue() -> dict[str, Any]:
    return {"requeue": True}  # jobs of a node that dies are requeued


@dataclass(frozen=True)
class Slurm(Launcher):
    """The numeric options; the others are those of hydra-submitit-launcher."""

    comes_back: ClassVar[bool] = True
    package: ClassVar[str | None] = "submitit"
    extends: ClassVar[str | None] = "submitit_slurm"
    repeatable: ClassVar[tuple[str, ...]] = (
        *("partition", "qos", "account", "constraint", "gres", "exclusive", "timeout_min", "signal_delay_s", "max_num_timeout"),
        *("nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node", "gpus_per_task", "array_parallelism"),
        *("mem_gb", "mem_per_cpu", "mem_per_gpu"),
    )

    submitit_folder: str = option("${out}/sweeps/${sweep}/slurm/%j", "files of its jobs", longest=LONGEST_PATH)
    name: str = option("gatelab-${sweep}", "of its jobs")
    timeout_min: int = option(240, "minutes of one job; a run may take several of them", minimum=1, maximum=525_600)
    signal_delay_s: int = option(60, "seconds for the end of a step, the state and W&B", minimum=1, maximum=86_400)
    max_num_timeout: int = option(100, "times that a run out of time is requeued", minimum=0)
    array_parallelism: int = option(256, "jobs at once", minimum=1, maximum=MOST_JOBS)
    cpus_per_task: int | None = option(None, "null: machine.threads", minimum=1, maximum=1024)
    gpus_per_node: int | None = option(None, minimum=0, maximum=1024)
    tasks_per_node: int = option(1, minimum=1, maximum=1024)
    nodes: int = option(1, minimum=1, maximum=MOST_JOBS)
    mem_gb: float | None = option(None, "null: as estimated; a job takes no more", above=0.0, maximum=1e6)
    partition: str | None = option(None)
    account: str | None = option(None)
    qos: str | None = option(None)
    additional_parameters: Any = option(factory=_requeue, help="of sbatch")  # noqa: RUF009 - a factory

    @classmethod
    def check_machine(cls, name: str) -> None:
        if shutil.which("sbatch") is None:
            raise UserError(f"hydra/launcher={name} needs Slurm, but `sbatch` is not on this machine's PATH. Use a login node.")
        try:
            asked = subprocess.run(["sinfo", "--noheader"], capture_output=True, text=True, timeout=SECONDS)
            reason = asked.stderr.strip() if asked.returncode else ""
        except subprocess.TimeoutExpired:
            reason = f"no answer within {SECONDS:.0f} s"
        if reason:
            raise UserError(f"hydra/launcher={name}: `sinfo` here says: {reason}. Use a login node, or wait until Slurm answers.")

    def train(self, batch: "JobBatch") -> None:
        from gatelab.sweeps.launch.slurm_jobs import train

        train(batch)
