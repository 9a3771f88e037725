"""The names of all metrics: `<family>/<where>/<what>`. Built here and nowhere else."""


def score(split: str, name: str) -> str:
    """`val/nll`."""
    return f"{split}/{name}"


def gate(layer: str, name: str, statistic: str | None = None) -> str:
    """`gate/0/forget/saturated_right`; without a statistic the gate itself, for its histogram."""
    return f"gate/{layer}/{name}" + (f"/{statistic}" if statistic else "")


def gradient(parameter: str | None = None, block: str | None = None) -> str:
    """`grad/norm` (global), `grad/rnn.0.R` (of a parameter), `grad/rnn.0.R/forget` (of a gate's block of rows)."""
    if parameter is None:
        return "grad/norm"
    return f"grad/{parameter.replace('rnn.layers.', 'rnn.')}" + (f"/{block}" if block else "")


LEARNING_RATE = "lr"
STEPS_PER_SECOND = "time/steps_per_second"
