"""The folder `conf/`, as far as it can be read without Hydra."""

import re
from functools import cache
from pathlib import Path

import gatelab


def conf_folder() -> Path:
    """The folder of the YAML files: beside the modules in an installed package, at the top level of a checkout."""
    installed = Path(gatelab.__file__).parent / "conf"
    return installed if installed.is_dir() else installed.parents[1] / "conf"


@cache
def default_choice(group: str) -> str:
    """What conf/train.yaml chooses of one of Hydra's own groups, as of `hydra/launcher`."""
    found = re.search(rf"^ *- override {group}: *(\S+)", (conf_folder() / "train.yaml").read_text(), re.MULTILINE)
    assert found is not None, f"conf/train.yaml chooses no {group}"
    return found[1]
