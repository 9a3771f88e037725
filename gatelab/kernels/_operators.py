"""The operators that can be printed: expressions of functions that every language defines, with the accepted arguments."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from gatelab.kernels._trace import Operator

_aten = torch.ops.aten

# Arguments that follow from the operands: the place of a result, and its number format, which is checked where it is known.
_PLACES = frozenset({"size", "dtype", "layout", "device", "pin_memory", "memory_format"})


class Constants(Protocol):
    """How a language writes constants. Calls and operators are the same in all of them."""

    def number(self, value: bool | int | float) -> str:
        """Reals of one value."""
        ...

    def truth(self, value: bool) -> str:
        """A mask of one value."""
        ...


@dataclass(frozen=True)
class Entry:
    """One operator.

    Attributes:
        form: the expression, with the operands by their position in the schema and `{zero}`; or what makes it from the arguments,
            the operands and the language.
        masks: positions of operands that are masks. A mask elsewhere becomes 1 and 0; a real number here is compared with 0.
        scaled: the position of the operand that `alpha` multiplies.
        mask: whether the result is a mask. None: as the first operand or the constant.
        whole: whether the result may be whole numbers: the operator only selects, so that reals in their place are as exact.
    """

    form: str | Callable[[Sequence[Any], Sequence[str], Constants], str]
    masks: tuple[int, ...] = ()
    scaled: int | None = None
    mask: bool | None = False
    whole: bool = False

    def reads(self, position: int, name: str) -> bool:
        """Whether an argument has an effect in the form."""
        if name == "alpha":
            return self.scaled is not None
        return not isinstance(self.form, str) or f"{{{position}}}" in self.form


def _clamp(values: Sequence[Any], operands: Sequence[str], language: Constants) -> str:
    """Torch looks at the lower bound first; a bound that is NaN makes everything NaN."""
    bounds = [value for value in values[1:3] if value is not None]
    if any(math.isnan(bound) for bound in bounds):
        return language.number(math.nan)
    text = operands[0] if values[1] is None else f"at_least({operands[0]}, {operands[1]})"
    return text if len(values) < 3 or values[2] is None else f"at_most({text}, {operands[2]})"


def _power(values: Sequence[Any], operands: Sequence[str], language: Constants) -> str:  # noqa: ARG001
    """For these exponents torch calls other functions, which differ in the last bits and for -inf and -0."""
    special = {
        1.0: "{0}",
        2.0: "{0} * {0}",
        3.0: "{0} * {0} * {0}",
        0.5: "sqrt_of({0})",
        -0.5: "1 / sqrt_of({0})",
        -1.0: "1 / {0}",
        -2.0: "1 / ({0} * {0})",
    }
    return special.get(float(values[1]), "pow_of({0}, {1})").format(*operands)


class Table(dict[Operator, Entry]):
    """Operators that can be printed; the printer of a trace."""

    def obstacle(
        self, operator: Operator, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any, dtype: torch.dtype
    ) -> str | None:
        """Why a kernel would not compute the same as this call, as the end of a sentence about the operator, or None.

        Args:
            operator: an entry of the table.
            args: as in the call; tensors stand for themselves.
            kwargs: as `args`.
            result: a tensor.
            dtype: the number format of the cell.
        """
        entry = self[operator]
        for position, (argument, value) in enumerate(
            zip(operator._schema.arguments, arguments(operator, args, kwargs), strict=True)
        ):
            name = argument.name
            if isinstance(value, Tensor):
                exact = value.dtype == dtype or _is_whole(value.dtype) or value.dtype == torch.bool
                if not exact and value.dim() > 0 and operator not in _CONSTANTS:
                    return f"whose argument '{name}' is {_dtype_name(value.dtype)} where the cell computes in {_dtype_name(dtype)}"
            elif name in _PLACES:
                if (name == "layout" and value not in (None, torch.strided)) or (
                    name == "device" and torch.device(value or "cpu").type != "cpu"
                ):
                    return f"whose argument {name}={value} cannot be printed"
            elif value is not None and not isinstance(value, bool | int | float):
                return f"whose argument {name}={value} is not a real number"
            elif not entry.reads(position, name) and value != argument.default_value:
                return f"whose argument {name}={value} cannot be printed"
        if operator in _CONSTANTS:  # rounded to its format by `constant`
            return None if not result.dtype.is_complex else "whose result is complex"
        expected = {True: (torch.bool,), False: (dtype,), None: (dtype, torch.bool)}[entry.mask]
        if result.dtype not in expected and not (entry.whole and _is_whole(result.dtype)):
            return f"whose result is {_dtype_name(result.dtype)} where the cell computes in {_dtype_name(dtype)}"
        return None


_SAME = Entry("{0}", mask=None, whole=True)
_SIGN = Entry("sign_of({0})")
_PAIR = (0, 1)

OPERATORS = Table(
    {
        _aten.add.Tensor: Entry("{0} + {1}", scaled=1),
        _aten.add.Scalar: Entry("{0} + {1}", scaled=1),
        _aten.sub.Tensor: Entry("{0} - {1}", scaled=1),
        _aten.sub.Scalar: Entry("{0} - {1}", scaled=1),
        _aten.rsub.Scalar: Entry("{1} - {0}", scaled=0),
        _aten.rsub.Tensor: Entry("{1} - {0}", scaled=0),
        _aten.mul.Tensor: Entry("{0} * {1}"),
        _aten.mul.Scalar: Entry("{0} * {1}"),
        _aten.div.Tensor: Entry("{0} / {1}"),
        _aten.div.Scalar: Entry("{0} / {1}"),
        _aten.neg.default: Entry("-{0}"),
        _aten.reciprocal.default: Entry("1 / {0}"),
        _aten.abs.default: Entry("magnitude({0})"),
        _aten.sign.default: _SIGN,
        _aten.sgn.default: _SIGN,
        _aten.exp.default: Entry("exp_of({0})"),
        _aten.expm1.default: Entry("expm1_of({0})"),
        _aten.log.default: Entry("log_of({0})"),
        _aten.log1p.default: Entry("log1p_of({0})"),
        _aten.floor.default: Entry("floor_of({0})"),
        _aten.sqrt.default: Entry("sqrt_of({0})"),
        _aten.rsqrt.default: Entry("1 / sqrt_of({0})"),
        _aten.sin.default: Entry("sin_of({0})"),
        _aten.cos.default: Entry("cos_of({0})"),
        _aten.atan.default: Entry("atan_of({0})"),
        _aten.erf.default: Entry("erf_of({0})"),
        _aten.pow.Tensor_Scalar: Entry(_power),
        _aten.pow.Tensor_Tensor: Entry("pow_of({0}, {1})"),
        _aten.pow.Scalar: Entry("pow_of({0}, {1})"),
        _aten.sigmoid.default: Entry("sigmoid_of({0})"),
        _aten.sigmoid_backward.default: Entry("{0} * ({1} * (1 - {1}))"),
        _aten.tanh.default: Entry("tanh_of({0})"),
        _aten.tanh_backward.default: Entry("{0} * (1 - {1} * {1})"),
        _aten.relu.default: Entry("at_least({0}, {zero})"),
        _aten.threshold_backward.default: Entry("choose({1} <= {2}, {zero}, {0})"),
        _aten.maximum.default: Entry("maximum_of({0}, {1})"),
        _aten.minimum.default: Entry("minimum_of({0}, {1})"),
        _aten.clamp_min.default: Entry(_clamp),
        _aten.clamp_max.default: Entry(
            lambda values, operands, language: _clamp((values[0], None, values[1]), (operands[0], "", operands[1]), language)
        ),
        _aten.clamp.default: Entry(_clamp),
        _aten.hardtanh.default: Entry(_clamp),
        # Torch's decomposition lets the cotangent of NaN through, its kernel does not.
        _aten.hardtanh_backward.default: Entry("choose(({1} > {2}) & ({1} < {3}), {0}, {zero})"),
        _aten.where.self: Entry("choose({0}, {1}, {2})", masks=(0,), whole=True),
        _aten.clone.default: _SAME,
        _aten.detach.default: _SAME,
        _aten.alias.default: _SAME,
        _aten.zeros_like.default: Entry("0", mask=None),
        _aten.ones_like.default: Entry("1", mask=None),
        _aten.full_like.default: Entry("{1}", mask=None),
        _aten.full.default: Entry("{1}", mask=None),
        _aten.scalar_tensor.default: Entry("{0}", mask=None),
        _aten.ge.Tensor: Entry("{0} >= {1}", mask=True),
        _aten.ge.Scalar: Entry("{0} >= {1}", mask=True),
        _aten.gt.Tensor: Entry("{0} > {1}", mask=True),
        _aten.gt.Scalar: Entry("{0} > {1}", mask=True),
        _aten.le.Tensor: Entry("{0} <= {1}", mask=True),
        _aten.le.Scalar: Entry("{0} <= {1}", mask=True),
        _aten.lt.Tensor: Entry("{0} < {1}", mask=True),
        _aten.lt.Scalar: Entry("{0} < {1}", mask=True),
        _aten.eq.Tensor: Entry("{0} == {1}", mask=True),
        _aten.eq.Scalar: Entry("{0} == {1}", mask=True),
        _aten.ne.Tensor: Entry("{0} != {1}", mask=True),
        _aten.ne.Scalar: Entry("{0} != {1}", mask=True),
        _aten.logical_and.default: Entry("{0} & {1}", masks=_PAIR, mask=True),
        _aten.logical_or.default: Entry("{0} | {1}", masks=_PAIR, mask=True),
        _aten.logical_not.default: Entry("~{0}", masks=(0,), mask=True),
        _aten.bitwise_and.Tensor: Entry("{0} & {1}", masks=_PAIR, mask=True),
        _aten.bitwise_or.Tensor: Entry("{0} | {1}", masks=_PAIR, mask=True),
        _aten.bitwise_not.default: Entry("~{0}", masks=(0,), mask=True),
    }
)

# Operators whose result is one number, and the position of that number among the arguments.
_CONSTANTS: Mapping[Operator, Callable[[Sequence[Any]], Any]] = {
    _aten.zeros_like.default: lambda _: 0,
    _aten.ones_like.default: lambda _: 1,
    _aten.full_like.default: lambda values: values[1],
    _aten.full.default: lambda values: values[1],
    _aten.scalar_tensor.default: lambda values: values[0],
}


def arguments(operator: Operator, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """The arguments of a call in the order of the schema, with its defaults."""
    return [
        args[position]
        if position < len(args)
        else kwargs.get(argument.name, argument.default_value if argument.has_default_value() else None)
        for position, argument in enumerate(operator._schema.arguments)
    ]


def expression(
    language: Constants, operator: Operator, values: Sequence[Any], result: torch.dtype, operand: Callable[[Any, bool], str]
) -> str:
    """The expression of one call.

    Args:
        language: the language to print.
        operator: an entry of the table.
        values: its arguments in the order of the schema.
        result: the number format of the result in torch.
        operand: the name of an argument, as a mask or as reals.
    """
    entry = OPERATORS[operator]
    if operator in _CONSTANTS:
        return constant(language, _CONSTANTS[operator](values), result)
    masks = (0,) if entry.mask is None and result == torch.bool else entry.masks
    names = [argument.name for argument in operator._schema.arguments]
    operands = [
        "" if name in _PLACES else operand(value, position in masks)
        for position, (name, value) in enumerate(zip(names, values, strict=True))
    ]
    scale = values[names.index("alpha")] if "alpha" in names else 1
    if scale != 1:
        assert entry.scaled is not None
        operands[entry.scaled] = f"({operands[entry.scaled]} * {language.number(scale)})"
    if isinstance(entry.form, str):
        return entry.form.format(*operands, zero=language.number(0))
    return entry.form(values, operands, language)


def constant(language: Constants, value: bool | int | float, dtype: torch.dtype) -> str:
    """A constant tensor. Its format may be narrower than that of the cell: 0.1 in float32 is another number in float64."""
    rounded = torch.scalar_tensor(value, dtype=dtype).item()
    return language.truth(bool(rounded)) if dtype == torch.bool else language.number(rounded)


def _is_whole(dtype: torch.dtype) -> bool:
    return not (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool)


def _dtype_name(dtype: torch.dtype) -> str:
    return re.sub(r"^torch\.", "", str(dtype))
