"""The data shared by the functions of one command that Hydra separates.

Hydra itself makes launchers, sweepers and the calls of jobs. All of them get its task function, a
`gatelab.sweeps.launch.job.JobFunction`, which has the session of the command; the process of a job has its own.
"""

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gatelab.errors import UserError
from gatelab.sweeps.jobs.compose import Composer

if TYPE_CHECKING:
    from gatelab.sweeps.contracts import Search
    from gatelab.training.failures import RunFailedError


@dataclass
class Session:
    """One command, or one process of a job.

    Attributes:
        search: the search for Hydra's sweeper to run; None if all runs are known before the first one begins.
        refused: why jobs of this process were refused; Hydra would turn it into a traceback.
        failed: how jobs of this process failed.
        unusable: why the launcher cannot be used, or the disk is full.
    """

    search: "Search | None" = None
    refused: list[UserError] = field(default_factory=list)
    failed: "list[RunFailedError]" = field(default_factory=list)
    unusable: UserError | None = None

    @functools.cached_property
    def composer(self) -> Composer:
        """Composes and remembers the jobs of the command."""
        return Composer()
