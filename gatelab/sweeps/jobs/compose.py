"""Configurations from overrides: schemas for Hydra, jobs of a sweep, and one clear message for whatever does not fit."""

import contextlib
import difflib
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override, ValueType
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import gatelab
from gatelab.cells import CELLS
from gatelab.config import GROUPS, Config
from gatelab.config import build as build_config
from gatelab.errors import UserError, unknown
from gatelab.options import schema
from gatelab.process.output import say
from gatelab.registry import Registry
from gatelab.registry.plugins import Plugin, absolute, load_plugin
from gatelab.sweeps.jobs.compositions import Compositions
from gatelab.sweeps.jobs.overrides import check_options, count_runs, first_line, given, parse, sweeper
from gatelab.sweeps.jobs.pace import paced
from gatelab.sweeps.jobs.resources import HERE, needs_of
from gatelab.sweeps.jobs.settings import Random, read
from gatelab.sweeps.search.draws import split
from gatelab.tasks import TASKS
from gatelab.training.identity import identify, remembering

# Hydra 1.3 asks for its defaults by name, which 1.4 deprecates; the OmegaConf of 1.4 renames the registration of resolvers.
_HYDRA_13 = hydra.__version__.startswith("1.3")
VERSION_BASE: dict[str, str] = {"version_base": "1.3"} if _HYDRA_13 else {}
# What a configuration may name to be called; 1.4 warns of one that says nothing, 1.5 refuses it.
WHITELIST: dict[str, Any] = {} if _HYDRA_13 else {"execution_whitelist": ["gatelab.*", "hydra.*", "hydra_plugins.*", "logging.*"]}
_REPLACE: dict[str, Any] = {} if _HYDRA_13 else {"replace": True}  # what an earlier call stored, as 1.3 does anyway
_register: Any = OmegaConf.register_new_resolver if _HYDRA_13 else OmegaConf.register_resolver

RUN_DIRECTORY = "${gatelab_run:${out}}"  # hydra.run.dir in conf/train.yaml
REGISTRIES: dict[str, Registry[Any]] = {"cell": CELLS, "task": TASKS}


def conf_folder() -> Path:
    """The folder of the YAML files: beside the modules in an installed package, at the top level of a checkout."""
    installed = Path(gatelab.__file__).parent / "conf"
    return installed if installed.is_dir() else installed.parents[1] / "conf"


def _offer_hydra_plugins() -> None:
    """Puts the folder of our own plugins where Hydra looks for them: in the namespace `hydra_plugins`."""
    folder = str(Path(__file__).parents[1] / "plugins")
    if folder not in sys.path:
        sys.path.append(folder)


_offer_hydra_plugins()  # at import: Hydra looks once, before the first configuration is composed


def register_schemas() -> None:
    """Tells Hydra the options of every cell, task and other choice, the shape of a whole run and where its directory is."""
    register_resolver()
    _compositions.clear()
    store = ConfigStore.instance()
    store.store(name="schema", node=Config, **_REPLACE)
    for group, choices in GROUPS.items():
        for name, cls in choices.items():
            store.store(group=group, name=name, node=cls, **_REPLACE)
    for group, registry in REGISTRIES.items():
        for name in registry.names():
            store.store(group=group, name=name, node=schema(registry.get(name), name), **_REPLACE)


def register_resolver() -> None:
    """`${gatelab_run:<folder>}`: the run directory, which follows from the configuration. Workers of a sweep need it, too."""

    def run_directory(folder: str | None, *, _root_: DictConfig) -> str:
        plain = {key: _plain(_root_, key) for key in (field.name for field in fields(Config))}
        name = identify(plain).name
        return name if folder is None else str(Path(folder) / name)

    _register("gatelab_run", run_directory, replace=True)


def _plain(root: DictConfig, key: str) -> Any:
    value = OmegaConf.select(root, key)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def to_config(composed: DictConfig) -> Config:
    """The checked dataclasses of what Hydra composed.

    Raises:
        UserError: a value is out of bounds, or a key was added that is no option.
    """
    return build_config({str(key): _plain(composed, str(key)) for key in composed if key != "hydra"})


@dataclass(frozen=True)
class Job:
    """One run of a sweep: its configuration, its directory, and the overrides that Hydra knows it by."""

    config: Config
    path: Path
    overrides: tuple[str, ...] = ()

    @property
    def run_id(self) -> str:
        """The hash in the name of its directory."""
        return self.path.name.rpartition("-")[2]


MANY_RUNS = 5000  # for which composing takes seconds

_planned: dict[tuple[str, ...], Job] = {}  # of the last call of `compose_jobs`
_compositions: list[Compositions] = []  # one at most; none where Hydra has been told of other schemas since


def load_plugins(overrides: list[Override]) -> list[Plugin]:
    """Loads the files of `plugins=[...]`, whose classes Hydra must know before it composes anything; returns them."""
    return [load_plugin(path, REGISTRIES.values()) for override in overrides for path in plugins_of(override)]


def plugins_of(override: Override) -> list[str]:
    """The files that an override names, if it is `plugins=[...]`.

    Raises:
        UserError: it is, but not with a list.
    """
    if override.key_or_group != "plugins" or override.is_delete():
        return []
    value = override.value()
    if not isinstance(value, list):
        raise UserError("plugins must be a list of files, as in 'plugins=[path/to/mycell.py]'.")
    return list(map(str, value))


def with_absolute_plugins(arguments: Sequence[str], folder: str | Path = "") -> list[str]:
    """The arguments of a command with paths of plugins that hold in any folder: workers, and `gatelab resume`, may be elsewhere.

    Args:
        folder: where the command was given; by default here.

    Raises:
        UserError: as `plugins_of`.
    """
    found = []
    for item in arguments:
        key = item.partition("=")[0]
        if key.lstrip("+") == "plugins":
            home = re.sub(r"([\[,]\s*)~(?=/)", lambda found: found[1] + os.path.expanduser("~"), item)  # Hydra wants quotes for ~
            files = [quoted(str(absolute(path, folder))) for override in parse([home]) for path in plugins_of(override)]
            item = f"{key}=[{','.join(files)}]"
        found.append(item)
    return found


def quoted(text: str) -> str:
    """A path as a value of Hydra's grammar, whatever is in it."""
    if re.fullmatch(r"/[\w./-]+", text, re.ASCII):
        return text
    return "'" + re.sub(r"(\\*)('|$)", lambda end: 2 * end[1] + ("\\'" if end[2] else ""), text) + "'"


def expand(overrides: list[Override], sweep: bool) -> list[list[str]]:
    """The overrides of every job, in Hydra's order.

    Raises:
        UserError: several values are given without -m, or a sweep that the basic sweeper does not know.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    if not sweep:
        for override in overrides:
            if override.is_sweep_override():
                raise UserError(f"'{override.input_line}' gives several values. Add -m to train them all: `gatelab train -m ...`.")
        return [[str(override.input_line) for override in overrides]]
    try:
        if sweeper(overrides) == "optuna":
            from gatelab.sweeps.search import studies

            return studies.probes(studies.variants(overrides, studies.read_options(overrides)))
        if sweeper(overrides) == "random":
            settings: Random = read(overrides, "sweeper", "random")
            return split(overrides, settings.trials, settings.seed)
        return BasicSweeper.split_arguments(overrides, None)[0]
    except HydraException as error:
        raise UserError(f"{error} Intervals are drawn from with hydra/sweeper=random.") from error


@contextlib.contextmanager
def composing() -> Iterator[None]:
    """Hydra over `conf/`, unless it is at work already: in a sweep its own."""
    if GlobalHydra.instance().is_initialized():
        yield
        return
    with initialize_config_dir(str(conf_folder()), **VERSION_BASE):
        yield


def compose_jobs(overrides: list[Override], sweep: bool) -> list[Job]:
    """Composes and checks every job before the first one starts.

    Raises:
        UserError: an unknown cell, task or option, a wrong type or a value out of bounds.
    """
    check_groups(overrides)
    if sweep and (count := count_runs(overrides)) > MANY_RUNS:
        say(f"Composing {count:,} runs.", stderr=True)
    here = not sweep or given(overrides, "hydra/launcher", "local") in HERE
    _planned.clear()
    with composing(), remembering():
        for job in map(tuple, paced(expand(overrides, sweep), "Composed")):
            config, path = _read(_quickly(), job)
            needs_of(config, here)
            _planned[_key(job)] = Job(config, path, job)
    return [*_planned.values()]


def _quickly() -> Compositions:
    """What composes many jobs, with all that it has composed before."""
    if not _compositions:
        _compositions.append(Compositions(_composed, _groups(), RUN_DIRECTORY))
    return _compositions[0]


def _key(overrides: Sequence[str]) -> tuple[str, ...]:
    """What tells the jobs of a command apart. Hydra keeps its own options, the same for all of them, from its launchers."""
    return tuple(item for item in overrides if not item.lstrip("+~").startswith(("hydra.", "hydra/")))


def directory(composed: DictConfig) -> Path:
    """The run directory of what Hydra composed, its own node included."""
    return Path(OmegaConf.select(composed, "hydra.run.dir"))


def is_planned(overrides: Sequence[str]) -> bool:
    """Whether the last call of `compose_jobs` composed and checked this job."""
    return _key(overrides) in _planned


def job_of(overrides: Sequence[str], composed: Callable[[], DictConfig]) -> Job:
    """The job of these overrides: as `compose_jobs` found it, or, where a sampler has thought of it meanwhile, composed now.

    Raises:
        UserError: a value is out of bounds, or it cannot be trained here.
    """
    key = _key(overrides)
    if key not in _planned:
        config, path = _read(lambda _: composed(), overrides)
        needs_of(config)
        return Job(config, path, tuple(overrides))
    return _planned[key]


def further_job(overrides: Sequence[str]) -> Job:
    """The job of a trial, which a search has thought of after `compose_jobs`.

    Raises:
        UserError: as `job_of`.
    """
    with composing():
        return _planned.setdefault(_key(overrides), job_of(overrides, lambda: _quickly()(overrides)))


def compose_job(overrides: list[Override]) -> Config:
    """The configuration of a single run, checked, without asking for its data.

    Raises:
        UserError: as `compose_jobs`.
    """
    check_groups(overrides)
    with composing():
        return _read(_composed, expand(overrides, False)[0])[0]


def composed(overrides: Sequence[str]) -> DictConfig:
    """What Hydra composes for one run, not checked yet, within `composing`.

    Raises:
        UserError: Hydra refuses it.
    """
    try:
        return _composed([*overrides])
    except (HydraException, OmegaConfBaseException) as error:
        raise refusal(error, overrides) from error


def _composed(overrides: list[str]) -> DictConfig:
    return compose("train", overrides, return_hydra_config=True)


def _read(composed: Callable[[Any], DictConfig], overrides: Sequence[str]) -> tuple[Config, Path]:
    try:
        found = composed([*overrides])
        return to_config(found), directory(found)
    except (HydraException, OmegaConfBaseException) as error:
        raise refusal(error, overrides) from error


def refusal(error: Exception, overrides: Sequence[str]) -> UserError:
    """What Hydra or OmegaConf refused, in our words; what our own code refused meanwhile has them already."""
    root = _root(error)
    return root if isinstance(root, UserError) else UserError(_explain(error, [*overrides]))


def _groups() -> dict[str, list[str]]:
    """What there is to choose from, by group."""
    folder = conf_folder()
    groups: dict[str, list[str]] = {group: registry.names() for group, registry in REGISTRIES.items()}
    groups |= {group: list(choices) for group, choices in GROUPS.items()}
    for group in ("trainer", "logger", "experiment", "hydra/launcher", "hydra/sweeper"):
        groups[group] = sorted(str(file.relative_to(folder / group).with_suffix("")) for file in (folder / group).rglob("*.yaml"))
    Plugins.instance()  # has Hydra's own launchers and sweepers, and those of other packages, add themselves to the store
    for group in ("hydra/launcher", "hydra/sweeper"):
        others = [name.removesuffix(".yaml") for name in ConfigStore.instance().list(group)]
        groups[group] += [name for name in others if name not in groups[group]]
    return groups


def check_groups(overrides: list[Override]) -> None:
    """Names of groups (cell, task, trainer, ...) are checked here, because Hydra's message for them fills a screen.

    Raises:
        UserError: there is no such cell, task, ..., or it lacks an option that is given.
    """
    groups = _groups()
    for override in overrides:
        key, text = override.key_or_group, override.input_line
        if override.is_delete():
            raise UserError(f"'{text}' would delete what a run needs. Leave it out: every option has a default.")
        if override.package is not None:
            raise UserError(f"'{text}' moves a part of the configuration, which is not accepted. Write {key}=VALUE.")
        if override.value_type == ValueType.GLOB_CHOICE_SWEEP:
            known = ",".join(groups.get(key, ("a", "b")))
            raise UserError(f"'{text}': glob is not accepted. List the values, as in {key}={known}.")
        if key not in groups:
            continue
        values = override.sweep_string_iterator() if override.is_sweep_override() else [override.value()]
        for value in values:
            name = "null" if value is None else str(value)
            if not isinstance(value, str) or name not in groups[key]:
                raise UserError(unknown(key, name, groups[key]))
    check_options(overrides, _options_of)


def _options_of(group: str, choice: str) -> list[str] | None:
    """The options of a cell, a task and other choices that are classes; None for those that are files."""
    if group not in (*REGISTRIES, *GROUPS):
        return None
    cls: Any = REGISTRIES[group].get(choice) if group in REGISTRIES else GROUPS[group][choice]
    return [field.name for field in fields(cls) if field.name != "name"]


def _explain(error: Exception, overrides: list[str]) -> str:
    """One sentence or two for what Hydra or OmegaConf refused."""
    text, cause = str(error), error.__cause__
    while cause is not None:
        text, cause = f"{text}\n{cause}", cause.__cause__
    keys = {override.partition("=")[0].lstrip("+~"): override for override in overrides}
    blamed = [key for key in keys if f"'{key}'" in text or f"override {key}=" in text or f"full_key: {key}\n" in f"{text}\n"]
    if not blamed:
        return first_line(_root(error))
    key = blamed[0]
    where, _, name = key.rpartition(".")
    siblings = _siblings(overrides, key)
    if name not in siblings:
        chosen = [item.partition("=")[2] for item in overrides if item.partition("=")[0] == where]  # `task=digits`
        return unknown(f"option of {where or 'a run'}" + "".join(f" '{choice}'" for choice in chosen[-1:]), name, siblings)
    return f"{keys[key]} is not accepted: {first_line(_root(error))}"


def _siblings(overrides: list[str], key: str) -> list[str]:
    """The options beside a key in the configuration that the group choices alone make."""
    choices = [item for item in overrides if item.partition("=")[0].split("@")[0] in (*REGISTRIES, *GROUPS, "plugins")]
    composed: Any = _quickly().alone(choices)
    parent = key.rpartition(".")[0]
    node = OmegaConf.select(composed, parent) if parent else composed
    if not OmegaConf.is_dict(node):
        names = [str(name) for name in composed if name != "hydra"]
        return difflib.get_close_matches(key.split(".", maxsplit=1)[0], names, n=1) or names
    return [str(name) for name in node if name not in ("name", "hydra")]


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
