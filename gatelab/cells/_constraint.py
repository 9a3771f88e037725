"""What `constraint` declares: matrices that are computed from their parameter and keep a property while it is learnt."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch

from gatelab.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from gatelab.cells._cell import Cell


@dataclass(frozen=True)
class Constraint(Options):
    """Base of the constraints on a square block of a recurrent matrix. `str` writes it, with M for the parameter."""

    def apply(self, M: "Tensor") -> "Tensor":
        """The matrix (H, H) that takes the place of a parameter (H, H), differentiable."""
        raise NotImplementedError

    def data(self) -> dict[str, Any]:
        """It as JSON holds it."""
        return {"kind": type(self).__name__} | {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class Antisymmetric(Constraint):
    """M - M^T - gamma I: its eigenvalues have the real part -gamma (Chang et al. 2019)."""

    gamma: float = option(0.0, "subtracted on the diagonal: diffusion", minimum=0.0)

    def apply(self, M: "Tensor") -> "Tensor":
        return M - M.mT - self.gamma * _identity(M)

    def __str__(self) -> str:
        return f"M - M^T{_less(self.gamma)}"


@dataclass(frozen=True)
class SkewMix(Constraint):
    """(1 - beta) (M + M^T) + beta (M - M^T) - gamma I: between symmetric and antisymmetric (Erichson et al. 2021)."""

    beta: float = option(0.5, "share of the antisymmetric part", minimum=0.0, maximum=1.0)
    gamma: float = option(0.0, "subtracted on the diagonal", minimum=0.0)

    def apply(self, M: "Tensor") -> "Tensor":
        return (1 - self.beta) * (M + M.mT) + self.beta * (M - M.mT) - self.gamma * _identity(M)

    def __str__(self) -> str:
        return f"{1 - self.beta:g} (M + M^T) + {self.beta:g} (M - M^T){_less(self.gamma)}"


@dataclass(frozen=True)
class Orthogonal(Constraint):
    """exp(A - A^T), A the part of M above its diagonal: a rotation (Lezcano-Casado & Martinez-Rubio 2019)."""

    def apply(self, M: "Tensor") -> "Tensor":
        # The derivative of the exponential loses two digits where M is large. MPS has no float64.
        A = M.to(torch.float32 if M.device.type == "mps" else torch.float64).triu(1)
        return torch.linalg.matrix_exp(A - A.mT).to(M.dtype)

    def __str__(self) -> str:
        return "exp(A - A^T), A the part of M above its diagonal"


@dataclass(frozen=True)
class Hierarchy(Constraint):
    """M where a unit reads its own group or a later one, else 0; the units are divided as by `Groups` (Koutnik et al. 2014)."""

    groups: int = option(help="groups of units", minimum=1)

    def apply(self, M: "Tensor") -> "Tensor":
        group = torch.arange(len(M), device=M.device) * self.groups // len(M)
        return torch.where(group[:, None] <= group, M, 0)

    def __str__(self) -> str:
        return f"M where a unit reads its own one of {self.groups} groups of units or a later one, else 0"


def constrained(cell: "Cell", name: str, parameter: "Tensor") -> "Tensor":
    """The weight that takes the place of a parameter: each block of H rows for which the cell declares a constraint is computed."""
    gates = cell.rows(name) or ("",)
    chosen = [cell.constraint.get(f"{name}.{gate}", cell.constraint.get(name)) for gate in gates]
    if not any(chosen):
        return parameter
    blocks = zip(chosen, parameter.chunk(len(gates)), strict=True)
    return torch.cat([block if constraint is None else constraint.apply(block) for constraint, block in blocks])


def _identity(M: "Tensor") -> "Tensor":
    return torch.eye(M.shape[-1], dtype=M.dtype, device=M.device)


def _less(gamma: float) -> str:
    return f" - {gamma:g} I" if gamma else ""
