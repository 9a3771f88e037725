"""Every option with every kind of value: accepted by a clean dry run, or refused in one message, with nothing created.

The options come from the classes that declare them, so that a new one is tried without an edit here. A status of 70 is what gatelab
says where it failed itself (see `main`), and so counts as a failure of these tests.
"""

import dataclasses
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from designs import indices
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from gatelab.config import GROUPS, Config, Logger, Machine, Model, Schedule, Trainer
from gatelab.errors import UserError
from gatelab.sweeps.contracts import SWEEPERS
from gatelab.sweeps.jobs import compose, settings
from gatelab.sweeps.jobs.compose import Composer
from gatelab.sweeps.jobs.conf import OF_HYDRA
from gatelab.sweeps.launchers.local import Local
from gatelab.sweeps.launchers.slurm import Slurm

NUMBERS = ["0", "-1", "0.5", "99999999999999999999", "1e300", "nan", "inf", "''", "abc", "[1,2]", "null", "x" * 300]
TEXTS = ["0", "''", "abc", "[1,2]", "null", "x" * 300, "'\x1b[31m'", "a/b", "..", "'%s{}$'", "${seed}"]
PARTS = {"model": Model, "schedule": Schedule, "trainer": Trainer, "logger": Logger, "machine": Machine}
ENTRIES = {(group, name): registry.get(name) for group, registry in compose.REGISTRIES.items() for name in registry.names()}
CHOICES = {(group, name): cls for group, choices in GROUPS.items() for name, cls in choices.items()}
SWEEPER = {
    "grid": ["seed=0,1"],
    "random": ["optimizer.lr=interval(1e-4,1e-2)", "hydra.sweeper.trials=2"],
    "optuna": ["optimizer.lr=interval(1e-4,1e-2)"],
}


def values(cls: type, name: str) -> list[str]:
    """The values that an option is tried with."""
    hint = str(next((field.type for field in fields(cls) if field.name == name), str))
    return NUMBERS if "int" in hint or "float" in hint else TEXTS


def named(cls: type) -> list[str]:
    """The options of a choice, `name` among them."""
    return [*dict.fromkeys(["name", *(field.name for field in fields(cls))])]


def of_entries() -> dict[tuple[str, str], list[tuple[str, list[str]]]]:
    """For each cell and each task its options, and two values for each of these: many options are alike, and share the values."""
    options = {(*entry, option): values(cls, option) for entry, cls in ENTRIES.items() for option in named(cls)}
    found: dict[tuple[str, str], list[tuple[str, list[str]]]] = {entry: [] for entry in ENTRIES}
    for given in (NUMBERS, TEXTS):
        names = {" ".join(key): key for key, tried in options.items() if tried is given}
        for label, rows in indices(names, [len(given)], rows=2).items():
            group, name, option = names[label]
            found[group, name].append((f"{group}.{option}", [given[index] for (index,) in rows]))
    return found


# What is swept over: the arguments in front, and the options.
CASES: dict[str, tuple[list[str], list[tuple[str, list[str]]]]] = {
    "run": ([], [(field.name, values(Config, field.name)) for field in fields(Config)]),
    **{part: ([], [(f"{part}.{field.name}", values(cls, field.name)) for field in fields(cls)]) for part, cls in PARTS.items()},
    **{f"{group}={name}": ([f"{group}={name}"], options) for (group, name), options in of_entries().items()},
    **{
        f"{group}={name}": ([f"{group}={name}"], [(f"{group}.{key}", values(cls, key)) for key in named(cls)])
        for (group, name), cls in CHOICES.items()
    },
    "launcher": (
        ["-m", "seed=0,1"],
        [(f"hydra.launcher.{field.name}", values(Local, field.name)) for field in fields(Local)],
    ),
    **{
        f"sweeper {name}": (
            ["-m", f"hydra/sweeper={name}", *SWEEPER[name]],
            [(f"hydra.sweeper.{field.name}", values(cls, field.name)) for field in fields(cls)],  # type: ignore[arg-type]
        )
        for name in SWEEPER
        for cls in [SWEEPERS.get(name)]
    },
    "choices": ([], [(key, TEXTS) for key in ("experiment", "hydra/launcher", "hydra.verbose", "foo", "+foo", "hydra.run.dir")]),
    "choices of a sweep": (["-m", "seed=0,1"], [(key, TEXTS) for key in ("hydra/launcher", "hydra/sweeper", "sweep", "out")]),
}
QUICK = ("launcher",)


def contents(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def problem(status: object, out: str, err: str, before: list[str], after: list[str]) -> str | None:
    """What is wrong with an answer of gatelab; None if it is as it should be."""
    if before != after:
        return f"created {set(after) - set(before)}"
    if status == 0:
        return None if "Traceback" not in err else "a traceback"
    if status != 2:
        return f"status {status}: {err[:300]}"
    lines = err.strip().splitlines()
    if len(lines) != 1 or not lines[0].startswith("gatelab: ") or out:
        return f"not one message: {out[:100]}{err[:300]}"
    return None if len(lines[0]) < 1500 else f"a message of {len(lines[0])} characters"


@pytest.mark.parametrize("case", [pytest.param(case, marks=[] if case in QUICK else pytest.mark.slow) for case in CASES])
def test_every_value_of_every_option_is_taken_or_refused(case: str, gatelab, composed_once, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    before = contents(tmp_path)
    first, options = CASES[case]
    failures = []
    for option, tried in options:
        for value in tried:
            status, out, err = gatelab("train", "--dry-run", *first, f"{option}={value}")
            if wrong := problem(status, out, err, before, contents(tmp_path)):
                failures.append(f"{option}={value[:40]}: {wrong}")
    assert not failures, "\n".join(failures)


def test_a_thousand_inputs_are_tried() -> None:
    assert sum(len(tried) for _, options in CASES.values() for _, tried in options) >= 1000


@pytest.mark.parametrize("name", [field.name for field in fields(Slurm)])
def test_options_of_slurm_are_taken_or_refused(name: str) -> None:
    """Read alone: on a machine without Slurm the launcher is refused before."""
    accepted = 0
    for value in (tried := values(Slurm, name)):
        try:
            settings.read(compose.parse([f"hydra.launcher.{name}={value}"]), "launcher", "slurm", Slurm)
            accepted += 1
        except UserError:
            continue
    assert accepted < len(tried)


def stored(monkeypatch: pytest.MonkeyPatch, name: str, cls: type) -> None:
    """Stands in for the configuration of another package, which may not be installed: it has these fields and no others."""
    own = [(field.name, Any, dataclasses.field(default=None)) for field in fields(cls)]
    strict = dataclasses.make_dataclass("Strict", [("_target_", str, dataclasses.field(default="")), *own])
    store = ConfigStore.instance()
    monkeypatch.setitem(store.repo["hydra"]["launcher"], f"{name}.yaml", None)
    store.store(group="hydra/launcher", name=name, node=strict, provider="test")


@pytest.mark.parametrize("group", OF_HYDRA)
def test_hydra_composes_what_launchers_and_sweepers_declare(group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compose.register_schemas()
    registry = OF_HYDRA[group]
    for name in registry.names():
        cls = registry.get(name)
        if cls.hydras:
            continue
        extended = getattr(cls, "extends", None)
        if extended and not ConfigStore.instance().repo["hydra"]["launcher"].get(f"{extended}.yaml"):
            stored(monkeypatch, extended, cls)
        with compose.composing():
            node = Composer().composed([f"{group}={name}"]).hydra[group.partition("/")[2]]
        composed: Any = OmegaConf.to_container(node, resolve=False)
        assert composed["_target_"] == f"hydra_plugins.gatelab_registered.{registry.kind.capitalize()}_{name}"
        for field in fields(cls):
            default = field.default if field.default_factory is MISSING else field.default_factory()
            assert composed[field.name] == default, f"{group}={name} {field.name}"
