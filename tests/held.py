"""A task whose training waits in the middle, so that a test meets it there however slow or fast the machine is."""

from pathlib import Path

PLUGIN = '''
import time
from dataclasses import dataclass
from pathlib import Path

from gatelab.tasks.adding import Adding

HOLD = Path({hold!r})
steps = 0


@dataclass(frozen=True)
class Held(Adding):
    """The adding problem, whose training waits after about {at} steps for as long as the file HOLD is there."""

    def loss(self, output, batch):
        global steps
        steps += output.requires_grad  # not in evaluation
        while steps > {at} and HOLD.exists():
            time.sleep(0.01)
        return super().loss(output, batch)
'''


def hold(folder: Path, at: int) -> tuple[list[str], Path]:
    """Writes the task into the folder.

    Returns:
        The overrides that choose it, and the file that holds the training while it is there: `touch` and `unlink` it.
    """
    plugin, file = folder / "held.py", folder / "hold"
    plugin.write_text(PLUGIN.format(hold=str(file), at=at))
    file.touch()
    return [f"plugins=[{plugin}]", "task=held"], file
