"""Hydra's launcher `local`; what it does is in `gatelab.sweeps.launch.local`."""

from collections.abc import Sequence

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class LocalLauncher(Launcher):
    """A process for every job, as many at once as fit.

    Args:
        n_jobs: most jobs at once; -1: as many as the cores and the free memory of this machine allow.
    """

    def __init__(self, n_jobs: int = -1) -> None:
        self.n_jobs = n_jobs

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from gatelab.sweeps.launch.local import launch

        return launch(job_overrides, initial_job_idx, self.hydra_context, self.task_function, self.config, self.n_jobs)
