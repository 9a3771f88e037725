"""What the tests here share lies one folder up."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `tolerances` and `cells.variants`
torch.set_num_threads(1)  # the tensors here are small, and test processes run beside each other
