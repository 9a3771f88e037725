"""Every launcher and sweeper of gatelab's registries, as Hydra knows them.

Hydra takes plugins from the namespace `hydra_plugins` alone: `gatelab.sweeps.jobs.choices` puts the folder above on the path, and
gives Hydra a configuration for each name, which ends up here.
"""

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class RegisteredLauncher(Launcher):
    """A launcher of gatelab's.

    Args:
        registered: its name.
        options: as Hydra composed and resolved them.
    """

    def __init__(self, registered: str, **options: Any) -> None:
        self.registered, self.options = registered, options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.call: Any = (hydra_context, task_function, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from gatelab.sweeps.launch.batch import launch  # here, because Hydra imports every plugin in every command

        overrides = [[*item] for item in job_overrides]
        return launch(self.registered, self.options, overrides, initial_job_idx, *self.call)


class RegisteredSweeper(BasicSweeper):
    """A sweeper of gatelab's; `gatelab train` has composed and checked its jobs, or prepared its search, already.

    Args:
        registered: its name.
        params, max_batch_size: as of Hydra's `basic`.
        options: the others, as Hydra composed and resolved them.
    """

    def __init__(
        self, registered: str, params: dict[str, str] | None = None, max_batch_size: int | None = None, **options: Any
    ) -> None:
        super().__init__(max_batch_size, params)
        self.registered, self.options = registered, options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.session: Any = task_function.session  # type: ignore[attr-defined] - of `gatelab.sweeps.launch.job.JobFunction`

    def sweep(self, arguments: list[str]) -> Any:
        if self.session.search is None:
            return super().sweep(arguments)
        assert self.launcher is not None
        launch = self.launcher.launch
        return self.session.search.run(lambda jobs, first: launch(jobs, initial_job_idx=first))

    def split_arguments(self, overrides: list[Override], max_batch_size: int | None) -> list[list[list[str]]]:  # type: ignore[override]
        from gatelab.sweeps.contracts import SWEEPERS
        from gatelab.sweeps.jobs.settings import plain

        options = {key: plain(value) for key, value in self.options.items()}
        jobs = SWEEPERS.build(self.registered, **options).jobs(overrides, self.session.composer)
        return list(self.split_overrides_to_chunks(jobs, max_batch_size))

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        super().validate_batch_is_legal([job for job in batch if not self.session.composer.is_planned(job)])
