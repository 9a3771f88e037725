"""Imports Lightning without what it imports for others, which is half of the time that a training process takes to start.

For the processes of the command line: they import this module before `gatelab.training.fit`. A program that uses gatelab as a
library gets Lightning as it is.

Left out are `torch._dynamo`, which is needed only by torch.compile and can be imported at any time later, torch's counter of FLOPs,
which imports Triton, and what torchmetrics imports for its plots (matplotlib) and for its measures of sound (scipy.signal).
"""

import contextlib
import functools
import importlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning_utilities.core import imports

_LEFT_OUT = ("scipy", "matplotlib")  # by torchmetrics
_DYNAMO = "torch._dynamo"
_FLOPS = "torch.utils.flop_counter"
# Optimizers import `torch._dynamo` at the first call of these and of `step`, only to keep torch.compile out of them.
_OF_OPTIMIZERS = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


class _OfDynamo(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        dynamo: Any = sys.modules.get(_DYNAMO)
        return dynamo is not None and isinstance(instance, dynamo.OptimizedModule)


class OptimizedModule(metaclass=_OfDynamo):
    """Replaces, in Lightning, the class of compiled modules, which cannot exist without `torch._dynamo`."""


def _counter_of_flops(*arguments: Any, **keywords: Any) -> Any:
    """Stands in Lightning for the class `FlopCounterMode`: imports it where it is called."""
    return importlib.import_module(_FLOPS).FlopCounterMode(*arguments, **keywords)


def _as_it_is(function: Any = None, *_: Any, **__: Any) -> Any:
    """A decorator, with arguments or without, that changes nothing."""
    return function or _as_it_is


@contextlib.contextmanager
def _left_out() -> Iterator[None]:
    dynamo: Any = types.ModuleType(_DYNAMO)
    dynamo.OptimizedModule, dynamo.disable = OptimizedModule, _as_it_is
    flops: Any = types.ModuleType(_FLOPS)
    flops.FlopCounterMode = _counter_of_flops
    stand_ins = {name: module for name, module in ((_DYNAMO, dynamo), (_FLOPS, flops)) if name not in sys.modules}
    cache: Any = imports.RequirementCache
    available, check = imports.package_available, cache._check_available

    def check_others(self: Any) -> None:
        if self.requirement in _LEFT_OUT:
            self.available, self.message = False, "gatelab does not use this part of torchmetrics"
        check(self)

    sys.modules.update(stand_ins)
    imports.package_available = lambda name: name not in _LEFT_OUT and available(name)
    cache._check_available = check_others
    try:
        yield
    finally:
        imports.package_available, cache._check_available = available, check
        for name, module in stand_ins.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _lean_optimizers() -> None:
    for name in _OF_OPTIMIZERS:
        function = getattr(getattr(torch.optim.Optimizer, name), "__wrapped__", None)
        if function is not None:
            function.__dynamo_disable = function
    for cls in vars(torch.optim).values():
        step: Any = vars(cls).get("step") if isinstance(cls, type) else None
        if getattr(step, "__code__", None) and step.__code__.co_name == "_use_grad":
            cls.step = _lean_step(step.__wrapped__)


def _lean_step(step: Callable[..., Any]) -> Callable[..., Any]:
    """What torch makes of the step of an optimizer, without the breaks for torch.compile."""

    @functools.wraps(step)
    def lean(self: Any, *arguments: Any, **keywords: Any) -> Any:
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return step(self, *arguments, **keywords)

    return lean


def _import() -> None:
    _lean_optimizers()
    if "lightning" not in sys.modules and _DYNAMO not in sys.modules:
        # A version that needs more of them is imported as it is by those who want it.
        with contextlib.suppress(AttributeError, ImportError), _left_out():
            importlib.import_module("lightning.pytorch")


_import()
