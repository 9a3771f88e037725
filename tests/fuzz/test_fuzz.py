"""`gatelab.RNN` in any way that it can be called, each in a process of its own, against the eager loop in float64.

Cases are the same every time, so that a machine's luck decides nothing. By hand, with other cases and for longer:

    GATELAB_FUZZ_SEED=7 GATELAB_FUZZ_EXAMPLES=20000 scripts/test.sh tests/fuzz -n 0 -s
"""

import contextlib
import logging
import os
import select
import signal
import sys
import time
import traceback
import warnings
from collections import Counter

import pytest
import torch
from fuzz.cases import Case, cases, cell_of, run, text_of
from hypothesis import HealthCheck, Phase, given, seed, settings

from gatelab.kernels import serving
from gatelab.registry import UserError

EXAMPLES = int(os.environ.get("GATELAB_FUZZ_EXAMPLES", "3000"))
SEED = os.environ.get("GATELAB_FUZZ_SEED")
SECONDS = 120  # of one case: a kernel that hangs is a failure, a machine that is busy is none


def in_a_child(case: Case) -> str:
    """What `run` says, or the signal that ended it."""
    with contextlib.suppress(UserError):  # compiled, or loaded, before the fork: once and not in every child
        serving(cell_of(case.cell), torch.float64 if case.double else torch.float32)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            warnings.simplefilter("ignore")
            logging.disable()
            answer = run(case)
            status = 0
        except BaseException:
            answer = "crashed: " + traceback.format_exc()[-2000:]
        os.write(write, answer.encode()[:4000])
        os._exit(status)
    os.close(write)
    answer = b""
    deadline = time.monotonic() + SECONDS
    while select.select([read], [], [], max(0, deadline - time.monotonic()))[0]:
        part = os.read(read, 4096)
        if not part:
            break
        answer += part
    else:
        os.kill(child, signal.SIGKILL)
    os.close(read)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return answer.decode()


said: Counter[str] = Counter()


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=SEED is None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
@given(case=cases())
def any_call(case: Case) -> None:
    answer = in_a_child(case)
    said[answer.partition(":")[0]] += 1
    if sum(said.values()) % 500 == 0:
        print(dict(said), file=sys.stderr, flush=True)
    assert answer == "ok" or answer.startswith("refused: "), f"{text_of(case)}\n{answer}"


@pytest.mark.slow
def test_any_call_gives_the_right_numbers_or_one_sentence() -> None:
    said.clear()
    (any_call if SEED is None else seed(int(SEED))(any_call))()
    print(dict(said), file=sys.stderr)
    assert said["ok"] > EXAMPLES // 2
    assert said["refused"] > 0


@pytest.mark.parametrize("case", [Case(cell=0)], ids=text_of)
def test_what_once_failed(case: Case) -> None:
    """Cases that the search has found, as small as it made them."""
    answer = in_a_child(case)
    assert answer == "ok" or answer.startswith("refused: "), answer
