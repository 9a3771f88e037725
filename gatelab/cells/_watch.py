"""Refuses to turn a tensor into a Python value."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class ValueReadError(Exception):
    """A tensor was turned into a Python value."""


class Watch(TorchDispatchMode):
    """Refuses to turn a tensor into a Python value, which would make a branch, or a constant out of a variable."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise torch imports its compiler, which takes a second, only to exclude the method below from it

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            raise ValueReadError
        return func(*args, **(kwargs or {}))
