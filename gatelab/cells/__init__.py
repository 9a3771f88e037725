"""Equations: one gating variant a file, found by its file stem."""

from gatelab.cells._biases import bias_option
from gatelab.cells._cell import Attention, Cell, OdysseyCell, Parts, by_position, parameter_count
from gatelab.cells._retention import keeping
from gatelab.registry import Registry

CELLS: Registry[Cell] = Registry("cell", "gatelab.cells", Cell)

__all__ = ["CELLS", "Attention", "Cell", "OdysseyCell", "Parts", "bias_option", "by_position", "keeping", "parameter_count"]
