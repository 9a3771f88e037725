"""The options of launchers and sweepers, `hydra.launcher.*` and `hydra.sweeper.*`, checked before Hydra takes them.

Hydra knows their names from `conf/hydra`, but no bounds; and it would first look at them when the sweep has begun.
"""

from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gatelab.config import LONGEST_PATH
from gatelab.errors import UserError, unknown
from gatelab.options import Options, option
from gatelab.sweeps.jobs.overrides import first_line

MOST_JOBS = 100_000  # runs at once: more than any machine or cluster starts


@dataclass
class Local(Options):
    """`hydra/launcher=local`."""

    n_jobs: int = option(-1, minimum=-1, maximum=MOST_JOBS)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_jobs == 0:
            raise UserError("Local: option 'n_jobs' is 0, but it must be at least 1, or -1 for as many as fit.")


@dataclass
class Slurm(Options):
    """`hydra/launcher=slurm`: those that count or measure; the others are hydra-submitit-launcher's own."""

    timeout_min: int = option(240, minimum=1, maximum=525_600)
    signal_delay_s: int = option(60, minimum=1, maximum=86_400)
    max_num_timeout: int = option(100, minimum=0)
    array_parallelism: int = option(256, minimum=1, maximum=MOST_JOBS)
    cpus_per_task: int | None = option(None, minimum=1, maximum=1024)
    gpus_per_node: int | None = option(None, minimum=0, maximum=1024)
    tasks_per_node: int = option(1, minimum=1, maximum=1024)
    nodes: int = option(1, minimum=1, maximum=MOST_JOBS)
    mem_gb: float | None = option(None, above=0.0, maximum=1e6)
    partition: str | None = option(None)
    account: str | None = option(None)
    qos: str | None = option(None)


@dataclass
class Grid(Options):
    """`hydra/sweeper=grid`."""

    params: Any = None
    max_batch_size: int | None = option(None, minimum=1)


@dataclass
class Random(Grid):
    """`hydra/sweeper=random`."""

    trials: int = option(20, minimum=1, maximum=1_000_000)
    seed: int = option(0)


@dataclass
class SearchOptions(Options):
    """`hydra/sweeper=optuna`; conf/hydra/sweeper/optuna.yaml says what each is."""

    n_trials: int = option(20, minimum=1, maximum=1_000_000)
    n_jobs: int | None = option(None, minimum=1, maximum=MOST_JOBS)
    sampler: str = option("tpe", choices=("tpe", "random"))
    seed: int = option(0, minimum=0, maximum=2**31)
    pruner: str = option("none", choices=("none", "median", "hyperband"))
    space: str | None = option(None, longest=LONGEST_PATH)
    storage: str | None = option(None, longest=LONGEST_PATH)


SETTINGS: dict[str, dict[str, type[Options]]] = {
    "launcher": {"local": Local, "slurm": Slurm},
    "sweeper": {"grid": Grid, "random": Random, "optuna": SearchOptions},
}
_HAVE_OTHERS = (Slurm,)  # options that are not checked here
# What Hydra would do with these is gatelab's to decide.
_DECIDED = {
    "hydra.run": "The directory of a run follows from its configuration. Give the folder of the runs, as in out=runs",
    "hydra.sweep": "The directory of a run follows from its configuration. Give the folder of the runs, as in out=runs",
    "hydra.mode": "Give -m to train several runs",
    "hydra.job.chdir": "Runs are trained in the current folder",
    "hydra.searchpath": "gatelab has one configuration. Give the options of a run on the command line",
}


def read(overrides: Iterable[Override], kind: str, name: str) -> Any:
    """The options of the launcher or the sweeper, checked.

    Args:
        overrides: of the command.
        kind: "launcher" or "sweeper".
        name: which; those that are not gatelab's have no options here.

    Returns:
        An instance of its class in SETTINGS; None if it has none.

    Raises:
        UserError: an option does not exist, or a value is not accepted.
    """
    cls = SETTINGS[kind].get(name)
    if cls is None:
        return None
    values = {field.name: field.default for field in fields(cls) if field.default is not MISSING}  # type: ignore[arg-type]
    prefix = f"hydra.{kind}."
    for override in overrides:
        key = override.get_key_element().lstrip("+~")
        if not key.startswith(prefix):
            continue
        option_name = key.removeprefix(prefix)
        if option_name in values:
            if override.is_sweep_override() or override.is_delete():
                raise UserError(f"'{key}' takes one value, the same for all runs of the sweep.")
            values[option_name] = override.value()
        elif cls not in _HAVE_OTHERS:
            raise UserError(unknown(f"option of hydra.{kind}", option_name, values))
    if cls in _HAVE_OTHERS:  # what refers to the configuration is resolved with it, by Hydra
        values = {name: value for name, value in values.items() if not (isinstance(value, str) and "${" in value)}
    try:
        resolved: Any = OmegaConf.to_container(OmegaConf.create(values), resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"hydra.{kind}: {first_line(error)}") from error
    return cls(**resolved)


def check(overrides: Iterable[Override]) -> None:
    """Refuses options of Hydra's own that gatelab decides, and those of launcher and sweeper in one dictionary.

    Raises:
        UserError: with what to give instead.
    """
    for override in overrides:
        key = override.get_key_element().lstrip("+~").partition("@")[0]
        for decided, instead in _DECIDED.items():
            if key == decided or key.startswith(f"{decided}."):
                raise UserError(f"{key} cannot be set. {instead}.")
        if key in ("hydra", "hydra.launcher", "hydra.sweeper"):  # without its value, which may hold a password
            example = "hydra.sweeper.storage=sqlite:///study.db" if key != "hydra.launcher" else "hydra.launcher.n_jobs=2"
            raise UserError(f"{key} cannot be given as a whole. Give its options one by one, as in {example}.")
