"""The sweeper `random`: interval(low, high) and choice(a, b) are drawn from, `trials` times.

Everything else is swept over for every draw, so that all variants see the same draws. tag(log, interval(...)): log-uniform;
tag(log, one_minus, interval(...)): 1 minus that; int(interval(...)): whole numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from gatelab.options import option
from gatelab.sweeps.sweepers.grid import Grid

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

    from gatelab.sweeps.jobs.compose import Composer


@dataclass(frozen=True)
class Random(Grid):
    """Draws from domains, times the grid of all other values."""

    draws: ClassVar[bool] = True
    repeatable: ClassVar[tuple[str, ...]] = ("trials", "seed", "sampler")
    added: ClassVar[Mapping[str, str]] = MappingProxyType({"sampler": "independent"})

    trials: int = option(20, "draws; a larger number begins with the same ones", minimum=1, maximum=1_000_000)
    seed: int = option(0, "of the draws")
    sampler: str = option(
        "sobol", "a scrambled Sobol sequence, which covers the space evenly, or independent draws", choices=("sobol", "independent")
    )

    def jobs(self, overrides: "list[Override]", composer: "Composer") -> list[list[str]]:  # noqa: ARG002 - the signature is the contract
        from gatelab.sweeps.search.points import split

        return split(overrides, self.trials, self.seed, self.sampler)
