"""The options of launchers and sweepers, `hydra.launcher.*` and `hydra.sweeper.*`, checked before Hydra takes them.

Hydra knows their names, but not their bounds, and would check them only after the sweep has begun.
"""

import importlib.util
from collections.abc import Iterable
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gatelab.errors import UserError, unknown
from gatelab.options import Options
from gatelab.sweeps.jobs.overrides import sentence

T = TypeVar("T", bound=Options)

# Options of Hydra that gatelab decides itself.
_DECIDED = {
    "hydra.run": "The directory of a run follows from its configuration. Give the folder of the runs, as in out=runs",
    "hydra.sweep": "The directory of a run follows from its configuration. Give the folder of the runs, as in out=runs",
    "hydra.mode": "Give -m to train several runs",
    "hydra.job.chdir": "Runs are trained in the current folder",
    "hydra.searchpath": "gatelab has one configuration. Give the options of a run on the command line",
}


def read(overrides: Iterable[Override], kind: str, name: str, cls: type[T]) -> T:
    """A launcher or a sweeper with the given options, checked.

    Args:
        overrides: of the command.
        kind: "launcher" or "sweeper".
        name: Hydra's name for it.
        cls: its declaration.

    Raises:
        UserError: an option does not exist, a value is not accepted, or a package is missing.
    """
    package = getattr(cls, "package", None)
    if package is not None and importlib.util.find_spec(package) is None:
        raise UserError(f"hydra/{kind}={name} needs the package {package}: pip install 'gatelab[{name}]'.")
    known = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    others = not known or getattr(cls, "extends", None) is not None  # it has options that cannot be checked here
    given = {}
    prefix = f"hydra.{kind}."
    for override in overrides:
        key = override.get_key_element().lstrip("+~")
        if not key.startswith(prefix):
            continue
        option_name, _, inner = key.removeprefix(prefix).partition(".")
        if option_name not in known:
            if not others:
                raise UserError(unknown(f"option of hydra.{kind}", option_name, known))
        elif not inner:  # Hydra checks the contents of an option
            if override.is_sweep_override() or override.is_delete():
                raise UserError(f"'{key}' takes one value, the same for all runs of the sweep.")
            given[option_name] = override.value()
    if others:  # Hydra resolves references to the configuration
        given = {key: value for key, value in given.items() if not (isinstance(value, str) and "${" in value)}
    return cls(**_resolved(cls, kind, given))


def plain(value: Any) -> Any:
    """A value of Hydra as plain containers, with references resolved."""
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _resolved(cls: type, kind: str, given: dict[str, Any]) -> dict[str, Any]:
    """Resolves values that may refer to each other, by name."""
    defaults = {field.name: field.default for field in fields(cls) if field.default is not MISSING}
    try:
        values = OmegaConf.create(defaults | given)
        return {key: plain(values[key]) for key in given}
    except OmegaConfBaseException as error:
        raise UserError(f"hydra.{kind}: {sentence(error)}") from error


def check(overrides: Iterable[Override]) -> None:
    """Refuses Hydra's own options that gatelab decides, and options of launcher and sweeper as one dictionary.

    Raises:
        UserError: the message tells what to give instead.
    """
    for override in overrides:
        key = override.get_key_element().lstrip("+~").partition("@")[0]
        for decided, instead in _DECIDED.items():
            if key == decided or key.startswith(f"{decided}."):
                raise UserError(f"{key} cannot be set. {instead}.")
        if key in ("hydra", "hydra.launcher", "hydra.sweeper"):  # without its value, which may hold a password
            example = "hydra.sweeper.storage=sqlite:///study.db" if key != "hydra.launcher" else "hydra.launcher.n_jobs=2"
            raise UserError(f"{key} cannot be given as a whole. Give its options one by one, as in {example}.")
