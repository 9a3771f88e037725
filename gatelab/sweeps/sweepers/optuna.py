"""The sweeper `optuna`: interval(low, high) and choice(a, b) are searched over, with the words of the random search.

a,b and range(...) make variants, each with a study and n_trials of its own. The same command continues a search, up to n_trials.

It only translates between Hydra and Optuna. The published plugin is not used: the one for Hydra 1.3 needs Optuna 2, whose
databases fail with current SQLAlchemy, and the one for Optuna 5 needs Hydra 1.4, which is not released.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gatelab.config import LONGEST_PATH
from gatelab.options import option
from gatelab.sweeps.contracts import Sweeper
from gatelab.sweeps.jobs.needs import MOST_JOBS

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

    from gatelab.sweeps.jobs.compose import Composer, Job
    from gatelab.sweeps.search.search import Search


@dataclass(frozen=True)
class Optuna(Sweeper):
    """One Optuna study for every variant; the search itself is in `gatelab.sweeps.search`."""

    searches: ClassVar[bool] = True
    draws: ClassVar[bool] = True
    package: ClassVar[str | None] = "optuna"
    repeatable: ClassVar[tuple[str, ...]] = ("n_trials", "n_jobs", "sampler", "seed", "pruner", "space", "storage")

    n_trials: int = option(20, "of each variant, over all processes that train them", minimum=1, maximum=1_000_000)
    n_jobs: int | None = option(None, "trials at once, over all variants; null: this machine's cores", minimum=1, maximum=MOST_JOBS)
    sampler: str = option("tpe", choices=("tpe", "random"))
    seed: int = option(0, "of the sampler; variants begin with the same draws", minimum=0, maximum=2**31)
    pruner: str = option("none", "ends trials early by their validation scores", choices=("none", "median", "hyperband"))
    space: str | None = option(
        None, "a YAML file of options with intervals and conditions, or one of conf/space: optimizer", longest=LONGEST_PATH
    )
    storage: str | None = option(
        None,
        "sqlite:///FILE, postgresql://USER@HOST/DATABASE, journal:///FILE; null: study.db in the folder of the sweep",
        longest=LONGEST_PATH,
    )

    def name_of(self, overrides: "Sequence[Override]") -> str:
        """It is computed from what is searched: the same command resumes a search."""
        from gatelab.sweeps.search.studies import search_name

        return search_name(overrides)

    def jobs(self, overrides: "list[Override]", composer: "Composer") -> list[list[str]]:
        from gatelab.sweeps.search.studies import examples, variants

        return examples(variants(overrides, self, composer))

    def search(
        self,
        overrides: "list[Override]",
        composer: "Composer",
        on_batch: "Callable[[list[Job]], object]",
        passwords: Mapping[str, str],
        dry: bool,
    ) -> "Search":
        from gatelab.sweeps.search.search import Search
        from gatelab.sweeps.search.studies import variants

        return Search(self, variants(overrides, self, composer), composer, on_batch, passwords, dry)
