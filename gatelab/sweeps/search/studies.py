"""The studies of a search: one for every variant, with the same budget, sampler, pruner and first draws.

A variant is a combination of the values that the command line gives as `a,b` or `range(...)`. Values given as `choice(...)` or
`interval(...)`, and those in the file of the space, are searched over within each variant.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from gatelab.errors import UserError, unknown
from gatelab.options.bounds import shown
from gatelab.runs import NOT_IDENTITY
from gatelab.sweeps.jobs.choices import check_groups
from gatelab.sweeps.jobs.compose import Composer, composing, to_config
from gatelab.sweeps.jobs.conf import conf_folder
from gatelab.sweeps.jobs.hydra_internals import combinations
from gatelab.sweeps.jobs.overrides import parse
from gatelab.sweeps.search.space import Domain, Space, read_domains, searched
from gatelab.training.spec import Spec

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage

    from gatelab.sweeps.sweepers.optuna import Optuna


@dataclass(frozen=True)
class SearchedVariant:
    """One combination of what is not searched over.

    Attributes:
        overrides: the overrides of all its runs; `space`: the options that are searched over.
        cell, task, seed: of its runs, as their directories are named; `metric`, `higher_is_better`: of the validation score.
        out, sweep: as in `Config`; `val_every`, `max_steps`: of the trainer; `plateau`: of the task, in which no trial is pruned.
        name: of its study: readable, and unique for what is computed and searched.
    """

    overrides: tuple[str, ...]
    space: Space
    cell: str
    task: str
    seed: int
    metric: str
    higher_is_better: bool
    out: Path
    sweep: str
    val_every: int
    max_steps: int
    plateau: int
    name: str


def variants(overrides: list[Override], options: "Optuna", composer: Composer) -> list[SearchedVariant]:
    """The variants of a search, every one with its space.

    Raises:
        UserError: nothing is searched over, the space cannot be read, or a condition is about an option that does not exist.
    """
    domains = read_domains(overrides, _space_file(options.space))
    if not domains:
        raise UserError(
            "A search is over interval(...) and choice(...), but none is given. Give one, as in "
            "optimizer.lr='tag(log, interval(1e-4, 1e-2))', or a file of them: hydra.sweeper.space=optimizer."
        )
    keys = {domain.key for domain in domains}
    for domain in domains:
        if "." not in domain.key and isinstance(domain.values, tuple):
            check_groups(parse([f"{domain.key}={value}" for value in domain.values]))
    own = [override for override in overrides if not override.get_key_element().lstrip("+").startswith("hydra")]
    rest = [override for override in own if not searched(override)]
    doubled = next((override for override in rest if override.get_key_element() in keys), None)
    if doubled is not None:
        key = doubled.get_key_element()
        raise UserError(f"'{doubled.input_line}' is given, but {key} is searched over by {options.space}. Leave one of them out.")
    with composing():
        jobs = combinations(rest)
        given = _given(jobs, domains, composer)
        return [_variant(job, Space(domains, values), composer) for job, values in zip(jobs, given, strict=True)]


def _space_file(space: str | None) -> Path | None:
    if space is None:
        return None
    try:
        if Path(space).is_file():
            return Path(space)
    except OSError as error:  # its name is too long
        raise UserError(f"hydra.sweeper.space: {shown(space)} cannot be read: {error.strerror}.") from error
    folder = conf_folder() / "space"
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    if space in names:
        return folder / f"{space}.yaml"
    if Path(space).suffix:
        raise UserError(f"hydra.sweeper.space: there is no file '{space}'. Those that come with gatelab: {', '.join(names)}.")
    raise UserError(unknown("hydra.sweeper.space", space, names))


def _given(jobs: Sequence[Sequence[str]], domains: Sequence[Domain], composer: Composer) -> list[dict[str, str]]:
    """For every variant, the values of options that are not searched over, but appear in conditions."""
    searched_over = {domain.key for domain in domains}
    found: list[dict[str, str]] = [{} for _ in jobs]
    for domain in domains:
        for key, accepted in domain.conditions:
            if key in searched_over:
                continue
            where = f"{domain.where}: the condition of {domain.key} is about {key}"
            if key.split(".")[0] in searched_over:
                raise UserError(f"{where}, which depends on what is chosen for {key.split('.')[0]}. Search over {key}, too.")
            siblings: set[str] = set()
            composed: Any = None
            for job, values in zip(jobs, found, strict=True):
                composed = composer.composed(job)
                parent = OmegaConf.select(composed, key.rpartition(".")[0]) if "." in key else composed
                siblings |= set(map(str, parent)) if OmegaConf.is_dict(parent) else set()
                value = OmegaConf.select(composed, key)
                # A condition names the choice of a group; overrides are text.
                values[key] = str(value.get("name") if OmegaConf.is_dict(value) else value)
            if key.rpartition(".")[2] not in siblings:
                raise UserError(f"{where}. {unknown('option', key.rpartition('.')[2], siblings or set(map(str, composed)))}")
            if "." not in key:
                check_groups(parse([f"{key}={value}" for value in accepted]))
    return found


def _variant(job: Sequence[str], space: Space, composer: Composer) -> SearchedVariant:
    """The properties that all runs of a variant share, from one composed run."""
    example = space.examples()[0]
    if not example:
        raise UserError(f"Nothing is searched over for {' '.join(job)}: no condition of the space holds there.")
    config = to_config(composer.composed([*job, *example]))
    spec = Spec(config)
    same = sorted(item for item in job if item.lstrip("+").split("=")[0].split(".")[0] not in NOT_IDENTITY)
    what: list[Any] = [same, [[item.key, item.text, item.conditions] for item in space.domains]]
    own = spec.identity
    if own.plugins or own.data_hashes:  # trials with other equations do not count
        what.append([sorted(plugin.digest for plugin in own.plugins.values()), own.data_hashes])
    digest = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:8]
    cell, name, seed = config.cell["name"], config.task["name"], config.seed
    return SearchedVariant(
        overrides=tuple(job),
        space=space,
        cell=cell,
        task=name,
        seed=seed,
        metric=spec.task.metric,
        higher_is_better=spec.task.higher_is_better,
        out=Path(config.out),
        sweep=str(config.sweep),
        val_every=config.trainer.val_every,
        max_steps=config.trainer.max_steps,
        plateau=spec.task.plateau,
        name=f"{config.sweep}/{cell}-{name}-s{seed}-{digest}",
    )


def examples(variants: Iterable[SearchedVariant]) -> list[list[str]]:
    """Overrides of representative runs of a search: if these are accepted, so are the others."""
    return [[*variant.overrides, *example] for variant in variants for example in variant.space.examples()]


def search_name(overrides: Iterable[Override]) -> str:
    """The default name of a sweep: the same for the same search, whatever its budget and its machine."""
    own = (override.input_line for override in overrides)
    kept = sorted(str(text) for text in own if str(text).lstrip("+").split("=")[0].split(".")[0] not in (*NOT_IDENTITY, "hydra"))
    space = [str(override.input_line) for override in overrides if override.get_key_element() == "hydra.sweeper.space"]
    return f"search-{hashlib.sha256(json.dumps([kept, space]).encode()).hexdigest()[:8]}"


def storage_url(variant: SearchedVariant, options: "Optuna") -> str:
    """The URL of the storage for the study of a variant."""
    return options.storage or f"sqlite:///{variant.out / 'sweeps' / variant.sweep / 'study.db'}"


def open_study(variant: SearchedVariant, options: "Optuna", storage: "BaseStorage") -> "Study":
    """Opens or creates the study of a variant."""
    import optuna

    from gatelab.sweeps.search.trials import SharedDraws

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # the progress bar and the final table replace these messages
    return optuna.create_study(
        storage=storage,
        sampler=SharedDraws(_sampler(options, variant.space), options.seed),
        pruner=_pruner(options, variant),
        study_name=variant.name,
        direction="maximize" if variant.higher_is_better else "minimize",
        load_if_exists=True,
    )


def _sampler(options: "Optuna", space: Space) -> "Callable[[int], BaseSampler]":
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import RandomSampler, TPESampler

    if options.sampler == "random":
        return RandomSampler
    conditional = any(domain.conditions for domain in space.domains)

    def tpe(seed: int) -> "BaseSampler":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            # Jointly over options that occur together; running trials count as bad ones, so that a batch spreads out.
            return TPESampler(seed=seed, multivariate=True, group=conditional, constant_liar=True)

    return tpe


def _pruner(options: "Optuna", variant: SearchedVariant) -> "BasePruner":
    from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner

    match options.pruner:
        case "median":
            return MedianPruner(n_warmup_steps=variant.plateau)
        case "hyperband":
            least = min(max(variant.val_every, variant.plateau), variant.max_steps)
            return HyperbandPruner(min_resource=least, max_resource=variant.max_steps)
        case _:
            return NopPruner()
