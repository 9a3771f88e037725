"""A function of tensors as a graph of operators.

It is what torch's `make_fx` makes from tensors with values. That one imports the compiler of torch, which takes longer than all
else that a training needs.
"""

import functools
from collections.abc import Callable, Container, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

Operator = Any  # torch._ops.OpOverload, which has no public name


@functools.cache
def decompositions() -> dict[Operator, Callable[..., Any]]:
    """What torch knows of operators as sums of others. Collected once: every call of torch's function searches all operators."""
    known: dict[Operator, Callable[..., Any]] = core_aten_decompositions()
    return dict(known.items())


@functools.cache
def _apart(operator: Operator) -> Operator | None:
    """The operator that computes what another one computes in place."""
    name, overload = operator.overloadpacket.__name__, operator._overloadname
    if not (operator._schema.is_mutable and name.endswith("_")):
        return None
    return getattr(getattr(torch.ops.aten, name[:-1], None), overload, None)


class Tracer(TorchDispatchMode):
    """Notes each call of an operator as a node; `val` in its `meta` is the result.

    Args:
        kept: operators that are noted as they are; others are replaced by those that torch knows them to consist of.

    Attributes:
        graph: what was noted. A tensor that is neither an input nor a result of a call is a node `get_attr`.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise torch imports its compiler, only to exclude `__torch_dispatch__` from it

    def __init__(self, kept: Container[Operator]) -> None:
        super().__init__()
        self.graph = fx.Graph()
        self._kept = kept
        self.cuts = False  # whether the function itself asks for a tensor without its derivative
        self._known: dict[int, tuple[fx.Node, Tensor]] = {}  # tensors live as long as their ids

    def input(self, value: Tensor) -> Tensor:
        """Makes a tensor an input of the graph."""
        self._note(self.graph.placeholder(f"arg{len(self._known)}_1"), value)
        return value

    def node(self, value: Any) -> Any:
        """What stands for an argument in the graph: the node of a tensor, the value of all else."""
        if not isinstance(value, Tensor):
            return value
        if id(value) not in self._known:
            self._note(self.graph.create_node("get_attr", f"_tensor_constant{len(self._known)}"), value)
        return self._known[id(value)][0]

    def __torch_dispatch__(self, func: Operator, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        apart = _apart(func)
        if apart is not None:  # formulas of derivatives work in place on what they have just made
            with self:
                result = apart(*args, **kwargs)
            self._known[id(args[0])] = (self.node(result), args[0])
            return func(*args, **kwargs)
        if func not in self._kept:
            parts: Callable[..., Any] = decompositions().get(func) or func.decompose
            with self:
                result = parts(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        if func is torch.ops.aten.detach.default and not self.cuts:  # autograd keeps the same numbers without their history
            self._known[id(result)] = (self.node(args[0]), result)
            return result
        nodes = tree_map(self.node, (args, kwargs))
        node = self.graph.create_node("call_function", func, *nodes, name=func.overloadpacket.__name__)
        node.meta["val"] = result
        for leaf in tree_leaves(result):
            self._known[id(leaf)] = (node, leaf)  # what works in place gives a tensor a new node
        return result

    def _note(self, node: fx.Node, value: Tensor) -> None:
        node.meta["val"] = value
        self._known[id(value)] = (node, value)


def traced(function: Callable[..., Any], kept: Container[Operator], *values: Tensor) -> fx.Graph:
    """The graph of a function.

    Args:
        function: from the values to a tensor or a tuple of tensors.
        kept: operators that are noted as they are.
        values: examples of the arguments.
    """
    tracer = Tracer(kept)
    given = [tracer.input(value.clone()) for value in values]
    with tracer:
        results = function(*given)
    tracer.graph.output(tree_map(tracer.node, results))
    return tracer.graph


class _Cuts(TorchFunctionMode):
    """Tells the tracer when a function asks for a tensor without its derivative, which autograd does all the time."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self._tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._tracer.cuts = func in (Tensor.detach, torch.detach)
        result = func(*args, **kwargs or {})
        self._tracer.cuts = False
        return result


class _End(torch.autograd.Function):
    """A number whose derivatives by the results are their cotangents. Torch takes half a second to import a check of other ways."""

    @staticmethod
    def forward(ctx: Any, cotangents: Sequence[Tensor], *_: Tensor) -> Tensor:
        ctx.cotangents = cotangents
        return torch.zeros(())

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Any, ...]:
        return (None, *ctx.cotangents)


def traced_with_gradients(
    function: Callable[..., tuple[Tensor, ...]], kept: Container[Operator], values: Sequence[Tensor], cotangents: Sequence[Tensor]
) -> fx.Graph:
    """The graph of a function and its gradients; inputs are the values and the cotangents, outputs the results and the gradients.

    Args:
        function: from the values to as many tensors as there are cotangents.
        kept: operators that are noted as they are.
        values: examples of the arguments.
        cotangents: examples of the cotangents of the results.
    """
    tracer = Tracer(kept)
    given = [tracer.input(value.detach().requires_grad_()) for value in values]
    back = [tracer.input(value.clone()) for value in cotangents]
    with tracer:
        with torch.enable_grad(), _Cuts(tracer):
            results = function(*given)
            end = _End.apply(back, *results)
        gradients = torch.autograd.grad(end, given, allow_unused=True) if end.requires_grad else (None,) * len(given)
        found = [torch.zeros_like(value) if made is None else made for value, made in zip(given, gradients, strict=True)]
        tracer.graph.output(tree_map(tracer.node, (*results, *found)))
    tracer.graph.eliminate_dead_code()
    return tracer.graph
