"""A whole `gatelab train` against a bare script with torch.nn.LSTM and AdamW: `python -m gatelab.bench.whole [PAIRS]`.

Both make 1,000 steps of batches of 32 sequences of 100 steps with 64 units (task adding), clip gradients at 1 and are processes of
their own, which take turns. The bare script validates, records and keeps nothing; `gatelab train` does what it does by default, but
for W&B and early stopping. Times are of the processor, which a shared machine does not change as it does the clock's; start and
end of the process are included.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from gatelab.process.output import say

STEPS = 1000
BARE = f"""
import torch
from torch import nn

torch.set_num_threads(1)
torch.manual_seed(0)
rnn, head = nn.LSTM(2, 64, batch_first=True), nn.Linear(64, 1)
weights = [*rnn.parameters(), *head.parameters()]
optimizer = torch.optim.AdamW(weights, lr=5e-3, weight_decay=0.0)
for _ in range({STEPS}):
    value, marker = torch.rand(32, 100), torch.zeros(32, 100)
    marker.scatter_(1, torch.stack([torch.randint(0, 50, (32,)), torch.randint(50, 100, (32,))], 1), 1.0)
    output, _ = rnn(torch.stack([value, marker], -1))
    loss = nn.functional.mse_loss(head(output[:, -1]), (value * marker).sum(1, keepdim=True))
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(weights, 1.0)
    optimizer.step()
    if not torch.isfinite(loss):
        raise SystemExit("the loss is not finite")
"""
TRAIN = ("cell=lstm", "task=adding", "task.length=100", "model.hidden_size=64", f"trainer.max_steps={STEPS}")
TRAIN += ("trainer.patience=null", "logger=none", "machine.device=cpu", "machine.threads=1", "machine.progress=false")


def measure(pairs: int) -> list[tuple[float, float]]:
    """The processor seconds of `gatelab train` and of the bare script, for each pair of processes."""
    found = []
    for _ in range(pairs):
        with tempfile.TemporaryDirectory() as folder:
            train = _seconds([sys.executable, "-P", "-m", "gatelab", "train", *TRAIN, f"out={folder}/runs"], folder)
            found.append((train, _seconds([sys.executable, "-P", "-c", BARE], folder)))
    return found


def _seconds(command: Sequence[str], folder: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Prints the median times and the ratios within pairs."""
    parser = argparse.ArgumentParser("python -m gatelab.bench.whole", description=__doc__)
    parser.add_argument("pairs", nargs="?", type=int, choices=range(1, 1001), default=3, metavar="PAIRS", help="1 to 1000 (3)")
    found = measure(parser.parse_args().pairs)
    train, bare = zip(*found, strict=True)
    ratios = [one / other for one, other in found]
    say(
        f"Processor time: gatelab train {statistics.median(train):.2f} s, bare {statistics.median(bare):.2f} s, ratio "
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} pairs)"
    )


if __name__ == "__main__":
    main()
