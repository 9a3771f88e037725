"""What a synthetic run holds: its configuration, its metrics and what a probe would have seen inside of it."""

import json
import math
from pathlib import Path
from typing import Any

TASKS = {  # metric, higher_is_better, chance, solved
    "adding": ("mse", False, 1 / 6, 0.01),
    "copying": ("accuracy", True, 0.1, 0.99),
}
GATES = {"lstm": ("input", "forget", "output"), "gru": ("reset", "update")}
LAST_STEP = 200
UNITS = 8
HALF_LIFE = 2.0  # lags in which the gradient of the synthetic runs halves
STEPS_PER_SECOND = 20.0


def configuration(cell: str, task: str, seed: int, **options: Any) -> dict[str, Any]:
    """A resolved configuration; options by dotted key."""
    config: dict[str, Any] = {
        "cell": {"name": cell},
        "task": {"name": task, "length": 100},
        "model": {"hidden_size": 64, "num_layers": 1},
        "optimizer": {"name": "adamw", "lr": 2e-3, "beta1": 0.9},
        "schedule": {"name": "constant"},
        "trainer": {"max_steps": LAST_STEP, "val_every": 50},
        "logger": {"name": "none"},
        "machine": {"device": "cpu", "threads": 1},
        "seed": seed,
        "data_seed": None,
        "plugins": [],
        "out": "runs",
        "sweep": None,
    }
    for key, value in options.items():
        *path, name = key.split(".")
        place = config
        for part in path:
            place = place[part]
        place[name] = value
    return config


def records(cell: str, metric: str, score: float) -> list[dict[str, Any]]:
    """A metrics file: everything at every fiftieth step, the score falling or rising to its last value in straight line."""
    lines = []
    for step in range(50, LAST_STEP + 1, 50):
        line: dict[str, Any] = {"step": step, "train/loss": 1.0, f"val/{metric}": score * step / LAST_STEP, "val/loss": 1.0}
        for gate in GATES.get(cell, ("forget",)):
            line |= {f"gate/0/{gate}/mean": 0.5, f"gate/0/{gate}/std": 0.1}
            line |= {f"gate/0/{gate}/saturated_left": 0.1, f"gate/0/{gate}/saturated_right": 0.4}
        line |= {"grad/norm": 2.0, "grad/rnn.0.R": 1.0, "grad/rnn.0.R/forget": 0.5, "lr": 2e-3, "clip/rate": 0.25}
        lines.append(line | {"time/steps_per_second": STEPS_PER_SECOND})
    return lines


def change_records(path: Path, **values: Any) -> None:
    """Sets keys of every line of a file."""
    lines = [json.loads(line) | values for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def keeping_gate(cell: str) -> str:
    """The gate that timescales are read off."""
    return "update" if cell == "gru" else "forget"


def inside(cell: str, step: int, keeps: float = 0.9) -> tuple[dict[str, Any], dict[str, Any]]:
    """The scalars and the arrays of one probe: units that keep up to `keeps` of their state a step, gradients that halve."""
    means = [keeps * (unit + 1) / UNITS for unit in range(UNITS)]
    scales = [-1 / math.log(mean) for mean in means]
    lags = list(range(10))
    scalars: dict[str, Any] = {"timescale/0/q50": scales[4], "timescale/0/max": scales[-1]}
    arrays: dict[str, Any] = {
        "step": step,
        "timescale/0/units": scales,
        "retention/0/lags": lags,
        "retention/0/mean": [keeps**lag for lag in lags],
        "state/0/c/positions/norm": [1.0, 2.0, 3.0, 4.0],
    }
    for gate in GATES.get(cell, ("forget",)):
        own = means if gate == keeping_gate(cell) else [0.3] * UNITS
        arrays[f"gate/0/{gate}/units/mean"] = own[::-1]  # so that sorting shows
        arrays[f"gate/0/{gate}/units/saturated_left"] = [0.25] * UNITS
        arrays[f"gate/0/{gate}/units/saturated_right"] = [0.5] * UNITS
        arrays[f"gate/0/{gate}/positions/mean"] = [0.2, 0.4, 0.6, 0.8]
        scalars |= {f"gate/0/{gate}/at_events": 0.75 if gate == "input" else 0.5, f"gate/0/{gate}/elsewhere": 0.45}
    arrays["timescale/0/units"] = arrays["timescale/0/units"][::-1]
    for family in ("flow", "flow_end"):
        arrays |= {f"{family}/0/state/lags": lags, f"{family}/0/state/norm": [0.5 ** (lag / HALF_LIFE) for lag in lags]}
        arrays |= {f"{family}/0/c/lags": lags, f"{family}/0/c/norm": [0.0, *(0.25 ** (lag / HALF_LIFE) for lag in lags[1:])]}
        for part, half_life in (("state", HALF_LIFE), ("c", HALF_LIFE / 2)):
            of_fit = {"half_life": half_life, "slope": -math.log(2) / half_life, "r2": 1.0}
            scalars |= {f"{family}/0/{part}/{what}": value for what, value in of_fit.items()}
    return scalars, arrays
