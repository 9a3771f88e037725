"""Makes every launcher and sweeper of gatelab's registries known to Hydra.

Hydra takes plugins only from the namespace `hydra_plugins`: `gatelab.sweeps.jobs.choices` puts the parent folder on the path, and
gives Hydra a class of this module for each name: `Launcher_local`, `Sweeper_grid`. They are made on request.
"""

import functools
from collections.abc import Sequence
from typing import Any, ClassVar

from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.plugin import Plugin
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from gatelab.sweeps.jobs.hydra_internals import basic_sweeper


class RegisteredLauncher(Launcher):
    """A launcher of gatelab.

    Args:
        options: as Hydra composed and resolved them.
    """

    registered: ClassVar[str]  # its name

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.call: Any = (hydra_context, task_function, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from gatelab.sweeps.launch.batch import launch  # here, because Hydra imports every plugin in every command

        overrides = [[*item] for item in job_overrides]
        return launch(self.registered, self.options, overrides, initial_job_idx, *self.call)


class RegisteredSweeper(basic_sweeper()):  # type: ignore[misc]
    """A sweeper of gatelab; `gatelab train` has already composed and checked its jobs, or prepared its search.

    Args:
        params, max_batch_size: as in Hydra's `basic`.
        options: the others, as Hydra composed and resolved them.
    """

    registered: ClassVar[str]  # its name

    def __init__(self, params: dict[str, str] | None = None, max_batch_size: int | None = None, **options: Any) -> None:
        super().__init__(max_batch_size, params)
        self.options = options

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
        jobs = SWEEPERS.get(self.registered)(**options).jobs(overrides, self.session.composer)
        return list(self.split_overrides_to_chunks(jobs, max_batch_size))

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        super().validate_batch_is_legal([job for job in batch if not self.session.composer.is_planned(job)])


_KINDS: dict[str, type[Plugin]] = {"Launcher": RegisteredLauncher, "Sweeper": RegisteredSweeper}


@functools.cache
def _made(name: str) -> type[Plugin]:
    kind, _, registered = name.partition("_")
    return type(name, (_KINDS[kind],), {"__module__": __name__, "registered": registered})


def __getattr__(name: str) -> type[Plugin]:
    kind, _, registered = name.partition("_")
    if kind in _KINDS and registered:
        return _made(name)
    raise AttributeError(name)
