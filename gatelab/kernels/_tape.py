"""The read of `Attention`: earlier states, scored and summed."""

import math

import torch
from torch import Tensor

from gatelab.cells import Attention


class Tape:
    """Earlier states of one layer and direction, and the attention over them (equations: `gatelab.Attention`).

    Args:
        attention: score and window.
        weights: K (N, H, H), Q (N, H, D), P (N, H, H) and, for the additive score, v (N, H).
        x: the inputs (N, T, B, D).
        s0: the initial state, (N, B, H) each.
    """

    def __init__(self, attention: Attention, weights: dict[str, Tensor], x: Tensor, s0: tuple[Tensor, ...]) -> None:
        N, T, B, D = x.shape
        self._attention = attention
        self._K, self._P = weights["K"].mT, weights["P"].mT
        self._v = weights["v"][:, None] if attention.score == "additive" else None
        self._queries = (x.reshape(N, T * B, D) @ weights["Q"].mT).view(N, T, B, s0[0].shape[-1]).unbind(1)
        self._parts = len(s0)
        self._entries: list[Tensor] = []
        self._age: Tensor | None = None
        self._summary = s0[0]

    def push(self, state: tuple[Tensor, ...], restarted: Tensor | None = None) -> None:
        """Adds the state before a step, (N, B, H) each, and drops entries that have left the window.

        Args:
            state: the new entry.
            restarted: rows whose tape begins with this entry (B,), or None.
        """
        # Key and state side by side: one copy and one product a read instead of one for each part.
        self._entries.append(torch.cat((state[0] @ self._K, *state), -1))
        if self._attention.window is not None and len(self._entries) > self._attention.window:
            del self._entries[0]
        if restarted is not None:
            age = torch.full_like(restarted, len(self._entries), dtype=torch.int64) if self._age is None else self._age + 1
            self._age = torch.where(restarted, 1, age)
            self._summary = torch.where(restarted[:, None], state[0], self._summary)

    def read(self, t: int) -> tuple[Tensor, ...]:
        """The weighted sum over the tape for time step t, (N, B, H) for every part of the state."""
        query = self._queries[t] + self._summary @ self._P
        H = query.shape[-1]
        entries = torch.stack(self._entries, -2)  # (N, B, window, H + parts * H)
        old = None
        if self._age is not None:
            count = len(self._entries)
            old = torch.arange(count, 0, -1, device=entries.device) > self._age[:, None]
            entries = torch.where(old[..., None], 0, entries)  # a weight of 0 would not stop NaN
        keys, states = entries[..., :H], entries[..., H:]
        if self._v is not None:
            scores = torch.tanh(keys + query[..., None, :]) @ self._v[..., None]
        else:
            scores = keys @ query[..., None] / math.sqrt(H)
        if old is not None:
            scores = torch.where(old[..., None], -math.inf, scores)
        weights = torch.softmax(scores, -2).mT
        read = (weights @ states).squeeze(-2).chunk(self._parts, -1)
        self._summary = read[0]
        return read
