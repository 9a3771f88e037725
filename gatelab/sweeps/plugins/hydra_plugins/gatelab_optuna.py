"""Hydra's sweeper `optuna`; the search itself is in `gatelab.sweeps.search.search`.

It is our own, a translation between Hydra and Optuna and no more, because the published plugin binds Hydra 1.3 to Optuna 2, whose
databases fail with today's SQLAlchemy, while the one for Optuna 5 needs Hydra 1.4, which is not released.
"""

from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSearch(Sweeper):
    """Runs the search that `gatelab train` has prepared with a launcher of Hydra.

    Args:
        options: those of conf/hydra/sweeper/optuna.yaml, which are read and checked before Hydra begins.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:  # noqa: ARG002 - the signature is Hydra's
        from gatelab.sweeps.search.search import prepared  # here, because Hydra imports every plugin in every command

        assert self.launcher is not None
        launch = self.launcher.launch
        return prepared.pop().run(lambda jobs, first: launch(jobs, initial_job_idx=first))
