"""The launcher `ray`: a task of a Ray cluster for every run, on a file system that all nodes share. pip install 'gatelab[ray]'

ray start --head --port=6379, on the other nodes ray start --address=HEAD:6379, RAY_AUTH_MODE the same everywhere, then
gatelab train -m hydra/launcher=ray cell=lstm,cifg 'seed=range(10)'
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gatelab.options import option
from gatelab.sweeps.contracts import Launcher

if TYPE_CHECKING:
    from gatelab.sweeps.launch.batch import JobBatch

WARNINGS = 30  # the level of the logs


def _defaults() -> dict[str, dict[str, Any]]:
    # Tasks of a dead node are retried; one process per run. num_cpus, memory: as estimated.
    remote = {"max_retries": 20, "max_calls": 1}
    return {"init": {"address": "auto", "log_to_driver": False, "logging_level": WARNINGS}, "remote": remote}


@dataclass(frozen=True)
class Ray(Launcher):
    """A task whose node dies is retried and resumes."""

    comes_back: ClassVar[bool] = True
    package: ClassVar[str | None] = "ray"

    ray: Any = option(factory=_defaults, help="init: the arguments of ray.init; remote: the options of every task")  # noqa: RUF009 - a factory

    def train(self, batch: "JobBatch") -> None:
        from gatelab.sweeps.launch.ray_tasks import train

        train(batch)
