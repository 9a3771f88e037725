"""Hydra's launcher `slurm`; what it does is in `gatelab.sweeps.launch.slurm`."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class SlurmLauncher(Launcher):
    """An array of Slurm's jobs, one a run.

    Args:
        settings: those of hydra-submitit-launcher's `submitit_slurm`.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = {
            name: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for name, value in settings.items()
        }

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from gatelab.sweeps.launch.common import refusing
        from gatelab.sweeps.launch.slurm import launch

        with refusing():
            return launch(job_overrides, initial_job_idx, self.hydra_context, self.task_function, self.config, self.settings)
