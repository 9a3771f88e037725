"""The launcher contract: a dataclass whose fields are the options `hydra.launcher.*`, and what the rest of gatelab asks of it.

A file of `gatelab.sweeps.launchers`, or an entry point of a group of that name, defines one launcher; nothing else names it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gatelab.options import Options

if TYPE_CHECKING:
    from gatelab.sweeps.jobs.needs import Needs
    from gatelab.sweeps.launch.batch import JobBatch


@dataclass(frozen=True)
class Launcher(Options):
    """Trains the runs of a sweep.

    A module that declares a launcher imports neither Hydra nor what the launcher needs: `gatelab train` asks for the declaration
    before it imports either.

    Attributes:
        here: runs are trained on this machine, and must fit in its memory.
        in_turn: they are trained in this process, one after another.
        comes_back: the cluster restarts a stopped run, which may find the lock of its own earlier process.
        leaves_pruned: a run that a search ended early is left alone; otherwise it is trained to its end.
        logs_refusals: the user learns of a refused run only through the log of its job.
        package: the Python package that it needs, installed by the extra of its name; None: no further package.
        extends: a configuration of Hydra whose options it also accepts, unchecked.
        hydras: Hydra itself has a configuration of this name.
        repeatable: options (also of `extends`) that `gatelab resume` may repeat: they neither execute nor read anything.
    """

    here: ClassVar[bool] = False
    in_turn: ClassVar[bool] = False
    comes_back: ClassVar[bool] = False
    leaves_pruned: ClassVar[bool] = True
    logs_refusals: ClassVar[bool] = True
    package: ClassVar[str | None] = None
    extends: ClassVar[str | None] = None
    hydras: ClassVar[bool] = False
    repeatable: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def start_ahead(cls) -> None:
        """Begins slow work while the command composes its runs. The default does nothing. It may be called twice."""

    @classmethod
    def check_machine(cls, name: str) -> None:
        """Checks whether it can be used from this machine. The default accepts all.

        Args:
            name: the name that the user has given, for the message.

        Raises:
            UserError: with what to do.
        """

    def at_once(self, needs: "Sequence[Needs]") -> int | None:  # noqa: ARG002 - of launchers on this machine
        """How many runs are trained at the same time; None if they are not trained on this machine.

        Args:
            needs: the needs of every run that is ahead.
        """
        return 1 if self.in_turn else None

    def train(self, batch: "JobBatch") -> None:
        """Trains jobs, and returns when all of them have ended; their directories record the results.

        Raises:
            UserError: it cannot be used now.
        """
        raise NotImplementedError(f"{type(self).__name__} is a launcher of Hydra's own.")


@dataclass(frozen=True)
class Alone(Launcher):
    """No launcher: a single run, in this process."""

    here: ClassVar[bool] = True
    in_turn: ClassVar[bool] = True
    leaves_pruned: ClassVar[bool] = False
    logs_refusals: ClassVar[bool] = False


@dataclass(frozen=True)
class Foreign(Launcher):
    """A launcher that another package adds to Hydra."""

    leaves_pruned: ClassVar[bool] = False
