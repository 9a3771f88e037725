"""Configurations from overrides: schemas for Hydra, jobs of a sweep, and one clear message for anything that does not fit."""

import contextlib
import difflib
import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gatelab.config import GROUPS, Config
from gatelab.config import build as build_config
from gatelab.errors import UserError, unknown
from gatelab.registry.plugins import Plugin, absolute, load_plugin
from gatelab.sweeps.jobs.choices import check_groups, groups, store_choices
from gatelab.sweeps.jobs.compositions import Compositions
from gatelab.sweeps.jobs.conf import REGISTRIES, conf_folder
from gatelab.sweeps.jobs.overrides import parse, sentence
from gatelab.sweeps.jobs.pace import paced
from gatelab.sweeps.jobs.settings import plain
from gatelab.training.identity import identify

# Hydra 1.3 asks for its defaults by name, which 1.4 deprecates; the OmegaConf of 1.4 renames the registration of resolvers.
_HYDRA_13 = hydra.__version__.startswith("1.3")
VERSION_BASE: dict[str, str] = {"version_base": "1.3"} if _HYDRA_13 else {}
# What a configuration may instantiate; Hydra 1.4 warns if this is missing, 1.5 refuses it.
WHITELIST: dict[str, Any] = {} if _HYDRA_13 else {"execution_whitelist": ["gatelab.*", "hydra.*", "hydra_plugins.*", "logging.*"]}
_register: Any = OmegaConf.register_new_resolver if _HYDRA_13 else OmegaConf.register_resolver

RUN_DIRECTORY = "${gatelab_run:${out}}"  # hydra.run.dir in conf/train.yaml


def register_schemas() -> None:
    """Tells Hydra the options of every choice, the schema of a run and the path of its directory."""
    register_resolver()
    store_choices()


def register_resolver() -> None:
    """Registers `${gatelab_run:<folder>}`: the run directory, computed from the configuration. Workers of a sweep need it, too."""

    def run_directory(folder: str | None, *, _root_: DictConfig) -> str:
        name = identify({field.name: plain(OmegaConf.select(_root_, field.name)) for field in fields(Config)}).name
        return name if folder is None else str(Path(folder) / name)

    _register("gatelab_run", run_directory, replace=True)


def to_config(composed: DictConfig) -> Config:
    """The checked dataclasses of what Hydra composed.

    Raises:
        UserError: a value is out of bounds, or a key was added that is not an option.
    """
    return build_config({str(key): plain(composed[key]) for key in composed if key != "hydra"})


@dataclass(frozen=True)
class Job:
    """One run of a sweep: its configuration, its directory, and the overrides by which Hydra identifies it."""

    config: Config
    path: Path
    overrides: tuple[str, ...] = ()

    @property
    def run_id(self) -> str:
        """The hash in the name of its directory."""
        return self.path.name.rpartition("-")[2]


def load_plugins(overrides: list[Override]) -> list[Plugin]:
    """Loads the files of `plugins=[...]`, whose classes Hydra must know before it composes anything; returns them."""
    return [load_plugin(path, REGISTRIES.values()) for override in overrides for path in plugins_of(override)]


def plugins_of(override: Override) -> list[str]:
    """The files that an override names, if it is `plugins=[...]`.

    Raises:
        UserError: the value is not a list.
    """
    if override.key_or_group != "plugins" or override.is_delete():
        return []
    value = override.value()
    if not isinstance(value, list):
        raise UserError("plugins must be a list of files, as in 'plugins=[path/to/mycell.py]'.")
    return list(map(str, value))


def with_absolute_plugins(arguments: Sequence[str], folder: str | Path = "") -> list[str]:
    """The arguments of a command with absolute paths of plugins: workers and `gatelab resume` may run elsewhere.

    Args:
        folder: the folder in which the command was given; by default the current one.

    Raises:
        UserError: as in `plugins_of`.
    """
    found = []
    for item in arguments:
        key = item.partition("=")[0]
        if key.lstrip("+") == "plugins":
            home = re.sub(
                r"([\[,]\s*)~(?=/)", lambda found: found[1] + os.path.expanduser("~"), item
            )  # Hydra requires quotes for ~
            files = [quoted(str(absolute(path, folder))) for override in parse([home]) for path in plugins_of(override)]
            item = f"{key}=[{','.join(files)}]"
        found.append(item)
    return found


def quoted(text: str) -> str:
    """A path as a value of Hydra's grammar, whatever characters it has."""
    if re.fullmatch(r"/[\w./-]+", text, re.ASCII):
        return text
    return "'" + re.sub(r"(\\*)('|$)", lambda end: 2 * end[1] + ("\\'" if end[2] else ""), text) + "'"


@contextlib.contextmanager
def composing() -> Iterator[None]:
    """Initialises Hydra with `conf/`, unless it is already initialised, as in a sweep."""
    if GlobalHydra.instance().is_initialized():
        yield
        return
    with initialize_config_dir(str(conf_folder()), **VERSION_BASE):
        yield


class Composer:
    """Composes and checks the jobs of a command, and remembers them. Hydra must know the schemas before."""

    def __init__(self) -> None:
        self._planned: dict[tuple[str, ...], Job] = {}

    @functools.cached_property
    def _compositions(self) -> Compositions:
        """The object that composes many jobs, with everything that it has composed before."""
        return Compositions(_composed, groups(), RUN_DIRECTORY)

    def jobs(self, overrides: Sequence[Sequence[str]], here: bool) -> list[Job]:
        """Composes and checks every job before the first one starts, within `composing`.

        Args:
            overrides: the overrides of every job. Jobs that differ only in Hydra's own options are the same.
            here: whether they are trained on this machine.

        Raises:
            UserError: an unknown cell, task or option, a wrong type or a value out of bounds.
        """
        from gatelab.sweeps.jobs.resources import needs_of  # with torch, which reading overrides needs not

        for job in map(tuple, paced(overrides, "Composed")):
            config, path = self._read(self._compositions, job)
            needs_of(config, here)
            self._planned[_key(job)] = Job(config, path, job)
        return [*self._planned.values()]

    def is_planned(self, overrides: Sequence[str]) -> bool:
        """Whether this job was composed and checked."""
        return _key(overrides) in self._planned

    def job_of(self, overrides: Sequence[str], composed: Callable[[], DictConfig]) -> Job:
        """The job of these overrides: the earlier one or, if a sampler has added it since, a new one.

        Raises:
            UserError: a value is out of bounds, or it cannot be trained here.
        """
        from gatelab.sweeps.jobs.resources import needs_of

        key = _key(overrides)
        if key not in self._planned:
            config, path = self._read(lambda _: composed(), overrides)
            needs_of(config)
            return Job(config, path, tuple(overrides))
        return self._planned[key]

    def further_job(self, overrides: Sequence[str]) -> Job:
        """The job of a trial, which a search has added after `jobs`.

        Raises:
            UserError: as in `job_of`.
        """
        with composing():
            return self._planned.setdefault(_key(overrides), self.job_of(overrides, lambda: self._compositions(overrides)))

    def config(self, overrides: Sequence[str]) -> Config:
        """The configuration of a single run, checked, without asking for its data.

        Raises:
            UserError: as in `jobs`.
        """
        with composing():
            return self._read(_composed, overrides)[0]

    def composed(self, overrides: Sequence[str]) -> DictConfig:
        """Hydra's composition for one run, not checked yet, within `composing`.

        Raises:
            UserError: Hydra refuses it.
        """
        try:
            return _composed([*overrides])
        except (HydraException, OmegaConfBaseException) as error:
            raise self.refusal(error, overrides) from error

    def refusal(self, error: Exception, overrides: Sequence[str]) -> UserError:
        """Explains an error of Hydra or OmegaConf; errors of gatelab's own code are returned unchanged."""
        root = _root(error)
        return root if isinstance(root, UserError) else UserError(self._explain(error, [*overrides]))

    def _read(self, composed: Callable[[Any], DictConfig], overrides: Sequence[str]) -> tuple[Config, Path]:
        try:
            found = composed([*overrides])
            return to_config(found), directory(found)
        except (HydraException, OmegaConfBaseException) as error:
            raise self.refusal(error, overrides) from error

    def _explain(self, error: Exception, overrides: list[str]) -> str:
        """One or two sentences for an error of Hydra or OmegaConf."""
        text, cause = str(error), error.__cause__
        while cause is not None:
            text, cause = f"{text}\n{cause}", cause.__cause__
        keys = {override.partition("=")[0].lstrip("+~"): override for override in overrides}
        blamed = [key for key in keys if f"'{key}'" in text or f"override {key}=" in text or f"full_key: {key}\n" in f"{text}\n"]
        if not blamed:
            return sentence(_root(error))
        key = blamed[0]
        where, _, name = key.rpartition(".")
        siblings = self._siblings(overrides, key)
        if name not in siblings:
            chosen = [item.partition("=")[2] for item in overrides if item.partition("=")[0] == where]  # `task=digits`
            return unknown(f"option of {where or 'a run'}" + "".join(f" '{choice}'" for choice in chosen[-1:]), name, siblings)
        return f"{keys[key]} is not accepted: {sentence(_root(error))}"

    def _siblings(self, overrides: list[str], key: str) -> list[str]:
        """The options beside a key in the configuration of only the group choices."""
        choices = [item for item in overrides if item.partition("=")[0].split("@")[0] in (*REGISTRIES, *GROUPS, "plugins")]
        composed: Any = self._compositions.alone(choices)
        parent = key.rpartition(".")[0]
        node = OmegaConf.select(composed, parent) if parent else composed
        if not OmegaConf.is_dict(node):
            names = [str(name) for name in composed if name != "hydra"]
            return difflib.get_close_matches(key.split(".", maxsplit=1)[0], names, n=1) or names
        return [str(name) for name in node if name not in ("name", "hydra")]


def single(overrides: list[Override]) -> list[str]:
    """The overrides of a single run.

    Raises:
        UserError: several values are given without -m.
    """
    for override in overrides:
        if override.is_sweep_override():
            raise UserError(f"'{override.input_line}' gives several values. Add -m to train them all: `gatelab train -m ...`.")
    return [str(override.input_line) for override in overrides]


def compose_job(overrides: list[Override]) -> Config:
    """The configuration of a single run, checked, without asking for its data.

    Raises:
        UserError: as in `Composer.jobs`.
    """
    check_groups(overrides)
    return Composer().config(single(overrides))


def directory(composed: DictConfig) -> Path:
    """The run directory of a configuration that includes Hydra's own node."""
    return Path(OmegaConf.select(composed, "hydra.run.dir"))


def _key(overrides: Sequence[str]) -> tuple[str, ...]:
    """What distinguishes the jobs of a command. Hydra withholds its own options, which all of them share, from its launchers."""
    return tuple(item for item in overrides if not item.lstrip("+~").startswith(("hydra.", "hydra/")))


def _composed(overrides: list[str]) -> DictConfig:
    return compose("train", overrides, return_hydra_config=True)


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
