"""The sweeper contract: a dataclass whose fields are the options `hydra.sweeper.*`, and what the rest of gatelab asks of it.

A file of `gatelab.sweeps.sweepers`, or an entry point of a group of that name, defines one sweeper; nothing else names it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from gatelab.options import Options

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

    from gatelab.sweeps.jobs.compose import Composer, Job

# Hydra's launchers: overrides of several jobs and the number of the first to what Hydra returns of each.
Launch = Callable[[Sequence[Sequence[str]], int], Sequence[Any]]


class Search(Protocol):
    """What a sweeper makes that chooses runs by the results of others: its runs come batch by batch."""

    jobs_at_once: int

    def trials_left(self) -> int:
        """How many runs there are still to be."""
        ...

    def lines(self) -> list[str]:
        """For the terminal, before it begins."""
        ...

    def run(self, launch: Launch) -> list[Any]:
        """Trains until there are no trials left."""
        ...

    def report(self) -> None:
        """Prints what was found."""
        ...


@dataclass(frozen=True)
class Sweeper(Options):
    """Makes runs from the overrides of a command: every combination of the values that are given.

    Attributes:
        searches: runs are chosen by the results of others, so that `jobs` only stand for them.
        draws: it takes interval(low, high).
        package: a Python package that it needs, and that the extra of its name installs; None: nothing more.
        hydras: Hydra has a configuration of this name itself.
        repeatable: options that `gatelab resume` may repeat: they neither execute nor read anything.
    """

    searches: ClassVar[bool] = False
    draws: ClassVar[bool] = False
    package: ClassVar[str | None] = None
    hydras: ClassVar[bool] = False
    repeatable: ClassVar[tuple[str, ...]] = ()

    def name_of(self, overrides: "Sequence[Override]") -> str:  # noqa: ARG002 - of sweepers that go on by their name
        """The name of a sweep that was given none."""
        return time.strftime("%Y%m%d-%H%M%S")

    def jobs(self, overrides: "list[Override]", composer: "Composer") -> list[list[str]]:  # noqa: ARG002 - of searches
        """The overrides of every run, in Hydra's order; of a search those of runs that stand for all it may train.

        Raises:
            UserError: a value is not accepted.
            HydraException: it does not know a sweep of this kind.
        """
        from gatelab.sweeps.jobs.hydra_internals import combinations

        return combinations(overrides)

    def search(
        self,
        overrides: "list[Override]",
        composer: "Composer",
        on_batch: "Callable[[list[Job]], object]",
        passwords: Mapping[str, str],
        dry: bool,
    ) -> Search:
        """The search that the overrides ask for; only where `searches`.

        Args:
            composer: composes its runs.
            on_batch: called with the runs that are about to be trained.
            passwords: that were taken out of the overrides, by the URL without them.
            dry: it is only looked at, and nothing is made.

        Raises:
            UserError: an option, the space or the storage cannot be used.
        """
        raise NotImplementedError(f"{type(self).__name__} is not a search.")


@dataclass(frozen=True)
class Foreign(Sweeper):
    """A sweeper that another package brings to Hydra."""
