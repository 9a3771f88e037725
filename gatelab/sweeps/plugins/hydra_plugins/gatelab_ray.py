"""Hydra's launcher `ray`; what it does is in `gatelab.sweeps.launch.ray_cluster`."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class RayLauncher(Launcher):
    """A task of a Ray cluster for every run.

    Args:
        ray: `init`, the arguments of `ray.init`, and `remote`, the options of every task.
    """

    def __init__(self, ray: Any) -> None:
        self.settings: Any = OmegaConf.to_container(ray, resolve=True) if OmegaConf.is_config(ray) else ray

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from gatelab.sweeps.launch.common import refusing
        from gatelab.sweeps.launch.ray_cluster import launch

        with refusing():
            return launch(job_overrides, initial_job_idx, self.hydra_context, self.task_function, self.config, self.settings)
