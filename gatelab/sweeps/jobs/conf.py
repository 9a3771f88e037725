"""What `gatelab train` chooses from, as far as it is known without Hydra: the registries, and the folder `conf/`."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import gatelab
from gatelab.cells import CELLS
from gatelab.config import GROUPS
from gatelab.registry import Registry
from gatelab.sweeps.contracts import LAUNCHERS, SWEEPERS
from gatelab.tasks import TASKS

REGISTRIES: dict[str, Registry[Any]] = {"cell": CELLS, "task": TASKS}
# Registries of what Hydra makes.
OF_HYDRA: dict[str, Registry[Any]] = {"hydra/launcher": LAUNCHERS, "hydra/sweeper": SWEEPERS}
FILES = ("trainer", "logger", "experiment")  # groups whose choices are files of conf/


def conf_folder() -> Path:
    """The folder of the YAML files: beside the modules in an installed package, at the top level of a checkout."""
    installed = Path(gatelab.__file__).parent / "conf"
    return installed if installed.is_dir() else installed.parents[1] / "conf"


def own_choices() -> dict[str, list[str]]:
    """The names that each group takes: those of gatelab, of the user's files, and of installed packages that extend gatelab."""
    found = {group: registry.names() for group, registry in (REGISTRIES | OF_HYDRA).items()}
    found |= {group: list(classes) for group, classes in GROUPS.items()}
    for group in FILES:
        folder = conf_folder() / group
        found[group] = sorted(str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("*.yaml"))
    return found


@cache
def default_choice(group: str) -> str:
    """What conf/train.yaml chooses of a group, as of `cell` or `hydra/launcher`."""
    text = (conf_folder() / "train.yaml").read_text()
    found = re.search(rf"^ *- (?:override )?{group}: *(\S+)", text, re.MULTILINE)
    assert found is not None, f"conf/train.yaml chooses no {group}"
    return found[1]
