"""A launcher as another package brings it: one file, which nothing else names. It trains the runs here, one after another."""

from dataclasses import dataclass
from typing import Any, ClassVar

from gatelab.errors import UserError
from gatelab.options import option
from gatelab.sweeps.contracts import Launcher


@dataclass(frozen=True)
class Countdown(Launcher):
    """In this process, the last one first."""

    here: ClassVar[bool] = True
    repeatable: ClassVar[tuple[str, ...]] = ("most",)

    most: int = option(100, "runs of a sweep", minimum=1)
    shut: bool = option(False, "refuses to train")

    @classmethod
    def check_machine(cls, name: str) -> None:
        if not hasattr(cls, "open"):
            raise UserError(f"hydra/launcher={name}: this machine is closed. Come back later.")

    def at_once(self, needs: Any) -> int | None:
        return 1

    def train(self, batch: Any) -> None:
        if self.shut or len(batch.jobs) > self.most:
            raise UserError(f"{batch.launcher} trains no more than {self.most} runs.")
        for number in reversed(batch.queue()):
            batch.train_here(number)
