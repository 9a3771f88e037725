"""The sweeper contract: a dataclass whose fields are the options `hydra.sweeper.*`, and what the rest of gatelab asks of it.

A file of `gatelab.sweeps.sweepers`, or an entry point of a group of that name, defines one sweeper; nothing else names it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from gatelab.options import Options

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

    from gatelab.sweeps.jobs.compose import Composer, Job

# Hydra's launchers: from the overrides of several jobs and the number of the first to Hydra's result for each.
Launch = Callable[[Sequence[Sequence[str]], int], Sequence[Any]]


class Search(Protocol):
    """A search chooses runs by the results of others: its runs come batch by batch."""

    jobs_at_once: int

    def trials_left(self) -> int:
        """The number of runs still to train."""
        ...

    def lines(self) -> list[str]:
        """Lines for the terminal, before it begins."""
        ...

    def run(self, launch: Launch) -> list[Any]:
        """Trains until there are no trials left."""
        ...

    def report(self) -> None:
        """Prints the results."""
        ...


@dataclass(frozen=True)
class Sweeper(Options):
    """Makes runs from the overrides of a command: every combination of the values that are given.

    Attributes:
        searches: it chooses runs by the results of others, so that `jobs` are only examples of them.
        draws: it accepts interval(low, high).
        package: the Python package that it needs, installed by the extra of its name; None: no further package.
        hydras: Hydra itself has a configuration of this name.
        repeatable: options that `gatelab resume` may repeat: they neither execute nor read anything.
        added: options that decide which runs there are and that earlier versions lacked, with the value that stands for those.
    """

    searches: ClassVar[bool] = False
    draws: ClassVar[bool] = False
    package: ClassVar[str | None] = None
    hydras: ClassVar[bool] = False
    repeatable: ClassVar[tuple[str, ...]] = ()
    added: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def name_of(self, overrides: "Sequence[Override]") -> str:  # noqa: ARG002 - for sweepers that resume by their name
        """The default name of a sweep."""
        return time.strftime("%Y%m%d-%H%M%S")

    def jobs(self, overrides: "list[Override]", composer: "Composer") -> list[list[str]]:  # noqa: ARG002 - of searches
        """The overrides of every run, in Hydra's order; for a search those of representative runs.

        Raises:
            UserError: a value is not accepted.
            HydraException: it does not support a sweep of this kind.
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
        """The search that the overrides describe; only if `searches`.

        Args:
            composer: composes its runs.
            on_batch: called with the runs that are about to be trained.
            passwords: passwords that were removed from the overrides, by the URL without it.
            dry: only show what would happen; nothing is created.

        Raises:
            UserError: an option, the space or the storage cannot be used.
        """
        raise NotImplementedError(f"{type(self).__name__} is not a search.")


@dataclass(frozen=True)
class Foreign(Sweeper):
    """A sweeper that another package adds to Hydra."""
