"""`gatelab.RNN` in any way that it can be called, in a process of its own, against the eager loop in float64.

Cases are the same every time, so that a machine's luck decides nothing. These are few; `.ci/run fuzz` tries many more. By
hand, with other cases and for longer:

    GATELAB_FUZZ_SEED=7 GATELAB_FUZZ_EXAMPLES=20000 scripts/test.sh tests/fuzz -n 0 -s
"""

import logging
import multiprocessing
import os
import signal
import sys
import traceback
import warnings
from collections import Counter
from multiprocessing.connection import Connection

import pytest
from fuzz.cases import Case, cases, run, text_of
from hypothesis import HealthCheck, Phase, given, seed, settings

EXAMPLES = int(os.environ.get("GATELAB_FUZZ_EXAMPLES", "600"))
SEED = os.environ.get("GATELAB_FUZZ_SEED")
SECONDS = 300  # of one case: a kernel that hangs is a failure, a machine that is busy is none


class Child:
    """A process that computes one case after the other, until one kills it. Not forked: threads of OpenMP survive no fork."""

    def __init__(self) -> None:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # two threads that spin take minutes on a busy machine
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other,), daemon=True)
        self.process.start()
        other.close()

    def answer(self, case: Case) -> str:
        """What `run` says, or the signal that ended it."""
        try:
            self.connection.send(case)
            if self.connection.poll(SECONDS):
                return self.connection.recv()
            self.process.kill()
        except (EOFError, ConnectionError):
            pass
        self.process.join()
        return f"killed by {signal.Signals(-(self.process.exitcode or 0)).name}"


def serve(connection: Connection) -> None:
    warnings.simplefilter("ignore")
    logging.disable()
    while True:
        case = connection.recv()
        try:
            connection.send(run(case))
        except Exception:
            connection.send("crashed: " + traceback.format_exc()[-2000:])


_children: list[Child] = []


def in_a_child(case: Case) -> str:
    if not _children or not _children[0].process.is_alive():
        _children[:] = [Child()]
    return _children[0].answer(case)


said: Counter[str] = Counter()


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=SEED is None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),  # type: ignore[arg-type]
)
@given(case=cases())
def any_call(case: Case) -> None:
    answer = in_a_child(case)
    said[answer.partition(":")[0]] += 1
    if sum(said.values()) % 1000 == 0:
        print(dict(said), file=sys.stderr, flush=True)
    assert answer == "ok" or answer.startswith("refused: "), f"{text_of(case)}\n{answer}"


@pytest.mark.slow
def test_any_call_gives_the_right_numbers_or_one_sentence() -> None:
    said.clear()
    (any_call if SEED is None else seed(int(SEED))(any_call))()
    print(dict(said), file=sys.stderr)
    assert said["ok"] > EXAMPLES // 2
    assert said["refused"] > 0


FAILED = [
    Case(cell=0),
    # A sparse state was cut into layers before anything looked at it.
    Case(cell=0, T=1, D=1, H=1, both=True, bias=False, state="given", wrong=(1, "sparse")),
]


@pytest.mark.slow
@pytest.mark.parametrize("case", FAILED, ids=text_of)
def test_what_once_failed(case: Case) -> None:
    """Cases that the search has found, as small as it made them."""
    answer = in_a_child(case)
    assert answer == "ok" or answer.startswith("refused: "), answer
