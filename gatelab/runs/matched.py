"""How a model was made as large as that of another cell: `matched` in summary.json."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

REFERENCE = "lstm"  # the cell that others are made as large as, where a configuration names none
WORDS = {"parameters": "parameters", "flops": "FLOPs"}  # what `model.match` can ask for beside units, as it is shown


@dataclass(frozen=True)
class Matched:
    """The nearest hidden size.

    Attributes:
        by: what was to be equal, "parameters" or "flops"; `to`: the cell that it was to equal.
        hidden_size: H of the cell itself.
        off: by which share of the other's it has more, or, negative, less.
    """

    by: str
    to: str
    hidden_size: int
    off: float

    @classmethod
    def read(cls, value: Any) -> "Matched | None":
        """From a summary; None of a run that was not matched, or that an earlier version trained.

        Raises:
            TypeError, ValueError, KeyError: it is damaged.
        """
        if value is None:
            return None
        return cls(str(value["by"]), str(value["to"]), int(value["hidden_size"]), float(value["off"]))


def matched_sentences(sizes: Iterable[tuple[str, Matched]], where: str = "") -> list[str]:
    """One sentence for each cell and count that variants were matched to: their sizes, and how far off they are.

    Args:
        sizes: with the names of the variants; what is there twice is shown once.
        where: what follows the count in every sentence, " on adding".
    """
    found: dict[tuple[str, str], list[str]] = {}
    for name, one in dict.fromkeys(sizes):
        found.setdefault((one.to, one.by), []).append(f"{name} {one.hidden_size} ({100 * one.off:+.1f}%)")
    return [
        f"Matched to {to} in {WORDS.get(by, by)}{where} (units a layer, difference): {', '.join(items)}."
        for (to, by), items in found.items()
    ]
