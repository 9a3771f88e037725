"""Runs that differ in nothing but their seed are one variant; only within a variant is there a mean."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gatelab.analysis.reading.option_values import OptionValues, flat
from gatelab.runs import NOT_IDENTITY, STATES, Run, Skipped, roles, with_added

_SEEDS = ("seed", "data_seed")


@dataclass(frozen=True)
class Variant:
    """A cell with its options on a task, and its runs.

    Attributes:
        cell, task: their registry names.
        config: the configuration without seeds and machine settings, dotted keys to values as text.
        task_options: what sets the task apart from others of the same name among the runs, task.length=200; mostly empty.
            Scores under different task options are never compared.
        options: what else sets the variant apart, model.hidden_size=128; mostly empty.
        runs: one for each seed, in the order of the seeds.
    """

    cell: str
    task: str
    config: dict[str, str]
    task_options: OptionValues
    options: OptionValues
    runs: list[Run]

    @cached_property
    def shared_options(self) -> dict[str, str]:
        """The options that do not belong to the cell."""
        return {key: value for key, value in self.config.items() if not key.startswith(("cell.", "plugins"))}


def read_variants(runs: Iterable[Run]) -> tuple[list[Variant], list[Skipped]]:
    """Groups the runs by what they compute, apart from their seeds. Queued runs are left out.

    Returns:
        The variants, and the runs left out because they repeat another one: the same configuration with the same seed gives the
        same result, which adds no evidence.
    """
    members: dict[str, dict[tuple[int, int], Run]] = {}
    skipped = []
    for run in runs:
        if run.state == "queued":
            continue
        own = seeds(run)
        same = members.setdefault(json.dumps(_configuration(run), sort_keys=True), {})
        if own in same:
            left, run = sorted((same[own], run), key=_preference)
            skipped.append(Skipped(left.path, f"it repeats {run.path}: same configuration, same seed"))
        same[own] = run
    ordered = {key: [same[own] for own in sorted(same)] for key, same in members.items()}
    return _named(ordered), skipped


def seeds(run: Run) -> tuple[int, int]:
    """The seed of the weights and that of the data; the latter is the former unless it is given."""
    data_seed = run.config.get("data_seed")
    return run.seed, data_seed if isinstance(data_seed, int) else run.seed


def _preference(run: Run) -> tuple[int, float]:
    updated = run.status.get("updated")
    # If a run has two copies, the one with more steps is kept.
    return STATES.index(run.state), updated if isinstance(updated, (int, float)) else 0.0


def _configuration(run: Run) -> dict[str, Any]:
    """What the run computes, apart from its seeds and from what its identity leaves out, which earlier versions did not write."""
    config = {key: value for key, value in with_added(run.config).items() if key not in (*NOT_IDENTITY, *_SEEDS)}
    left_out = run.provenance.get("left_out")
    for group, names in left_out.items() if isinstance(left_out, Mapping) else ():
        if isinstance(config.get(group), Mapping) and isinstance(names, list):
            config[group] = {name: value for name, value in config[group].items() if name not in names}
    for key, value in code_and_data(run).items():
        group, _, name = key.rpartition(".")
        config |= {group: config[group] | {name: value}} if group else {key: value}
    return config


def code_and_data(run: Run) -> dict[str, str]:
    """Digests of the user's files that a run is made of, and of their data, by dotted key; empty where it is all of gatelab's.

    Other equations under the same name are another cell; another task, or other data, is another problem. Where the files lie does
    not matter.
    """
    if not run.config.get("plugins"):
        return {}
    origin = run.provenance
    hashes, data = _plugin_hashes(run, origin), origin.get("data_sha256")
    task = hashes.pop("task", None)
    found = {"plugins": _short(hashes)} if hashes else {}
    if task is not None:
        found["task.plugin"] = _short({"": task})
        if isinstance(data, Mapping) and data:
            found["task.data_sha256"] = _short(data)
    return found


def _plugin_hashes(run: Run, origin: Mapping[str, Any]) -> dict[str, str]:
    """Digests of the plugins that a run is made of, by role."""
    plugins, hashes = origin.get("plugins"), origin.get("plugin_sha256")
    if isinstance(plugins, Mapping):
        return {role: str(item["sha256"]) for role, item in plugins.items() if isinstance(item, Mapping) and "sha256" in item}
    if not isinstance(hashes, Mapping):
        return {}
    # An earlier version noted all plugins of the command; the file stem is the name.
    stems = {Path(path).stem: str(digest) for path, digest in hashes.items()}
    return {role: stems[name] for role, name in roles(run.config).items() if name in stems}


def _short(hashes: Mapping[str, Any]) -> str:
    return " ".join(digest[:10] for digest in sorted({str(digest) for digest in hashes.values()}))


def _named(members: Mapping[str, list[Run]]) -> list[Variant]:
    """Names every variant by what sets it apart: first the tasks of one name, then the variants on one and the same task."""
    by_task, by_problem, by_cell = defaultdict(dict), defaultdict(dict), defaultdict(dict)
    configs = {key: flat(_configuration(runs[0])) for key, runs in members.items()}
    for key, runs in members.items():
        by_task[runs[0].task][key] = {name: value for name, value in configs[key].items() if name.startswith("task.")}
    task_labels = {key: label for tasks in by_task.values() for key, label in _labels(tasks).items()}
    for key, runs in members.items():
        problem = runs[0].task, task_labels[key]
        shown = {name: value for name, value in configs[key].items() if not name.startswith("task.") and name != "cell.name"}
        by_problem[problem][key] = by_cell[*problem, runs[0].cell][key] = shown
    labels: dict[str, OptionValues] = {}
    for (task, task_label, _), configs_of_cell in by_cell.items():
        # Cells have different options by nature, so these are compared within one cell only.
        also = {name for name in _differing(by_problem[task, task_label].values()) if not name.startswith("cell.")}
        labels |= _labels(configs_of_cell, also)
    return [Variant(runs[0].cell, runs[0].task, configs[key], task_labels[key], labels[key], runs) for key, runs in members.items()]


def _labels(configs: Mapping[str, Mapping[str, str]], also: Iterable[str] = ()) -> dict[str, OptionValues]:
    """A label for each of several configurations: the options that differ among them, and `also`.

    An option that only some have (another optimiser's) is left out unless nothing else tells two configurations apart.
    """
    distinct = len({frozenset(config.items()) for config in configs.values()})
    labels: dict[str, OptionValues] = {}
    for absent in (False, True):
        shown = _differing(configs.values(), absent) | set(also)
        labels = {key: OptionValues({k: v for k, v in config.items() if k in shown}) for key, config in configs.items()}
        if len(set(labels.values())) == distinct:
            break
    return labels


def _differing(configs: Iterable[Mapping[str, str]], absent: bool = False) -> set[str]:
    """The options that have more than one value; with `absent`, having none counts as a value."""
    configs = list(configs)
    values: dict[str, set[str | None]] = defaultdict(set)
    for config in configs:
        for name, value in config.items():
            values[name].add(value)
    if absent:
        for name, found in values.items():
            found |= {config.get(name) for config in configs}
    return {name for name, found in values.items() if len(found) > 1}
