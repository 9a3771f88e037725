"""All that is taken from Hydra's private modules, in one place: what to look at when a new Hydra is out.

`get_args_parser`: Hydra's flags (`--multirun`, `--cfg`, `--info` ...). `gatelab train` must tell them from overrides before Hydra
runs, and Hydra offers them in no public form.

`BasicSweeper`: Hydra's own sweeper. The public base class `hydra.plugins.sweeper.Sweeper` is an interface without code: the loop
over batches, the file multirun.yaml and the product of the values given would have to be written again, and could then differ.
"""

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser

__all__ = ["BasicSweeper", "get_args_parser"]
