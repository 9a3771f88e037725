"""The place of this process in a team of processes that train one run together.

Whether several processes belong together is never guessed from the variables of a scheduler: a user who types `gatelab train` in an
allocation of eight tasks wants one process. Only torchrun and launchers (`declare`) make a team.
"""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """The place of a process in its team.

    Attributes:
        rank: 0 .. size - 1; process 0 leads: it alone writes.
        size: the number of processes, at least 2.
        local_rank: its rank among those on its node.
        address, port: where their common store is found.
        hosted: whether process 0 has to host that store; torchrun does so itself.
    """

    rank: int
    size: int
    local_rank: int
    address: str
    port: int
    hosted: bool = True


_declared: Place | None = None


def declare(place: Place | None) -> None:
    """Sets the place of this process, for a launcher that knows it; None: read it from the environment again."""
    global _declared
    _declared = place


def place() -> Place | None:
    """The place of this process; None if it trains alone."""
    if _declared is not None:
        return _declared
    found = os.environ
    if "TORCHELASTIC_RUN_ID" not in found or int(found.get("WORLD_SIZE", "1")) < 2:
        return None
    return Place(
        rank=int(found["RANK"]),
        size=int(found["WORLD_SIZE"]),
        local_rank=int(found["LOCAL_RANK"]),
        address=found["MASTER_ADDR"],
        port=int(found["MASTER_PORT"]),
        hosted=found.get("TORCHELASTIC_USE_AGENT_STORE") != "True",
    )


def leads() -> bool:
    """Whether this process is the one that writes and prints."""
    here = place()
    return here is None or here.rank == 0
