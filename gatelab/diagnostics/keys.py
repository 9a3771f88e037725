"""The names of all metrics: `<family>/<where>/<what>`. Built here and nowhere else.

A layer is "0", "1", ..., or "0_reverse"; a part is one of `cell.state`, or "state" for all of them together.
"""


def score(split: str, name: str) -> str:
    """`val/nll`."""
    return f"{split}/{name}"


def gate(layer: str, name: str, statistic: str | None = None) -> str:
    """`gate/0/forget/saturated_right`; without a statistic the gate itself, for its histogram."""
    return f"gate/{layer}/{name}" + (f"/{statistic}" if statistic else "")


def gate_units(layer: str, name: str, statistic: str) -> str:
    """`gate/0/forget/units/mean`: (H,), one value a unit; mean, saturated_left, saturated_right."""
    return gate(layer, name, f"units/{statistic}")


def gate_positions(layer: str, name: str) -> str:
    """`gate/0/forget/positions/mean`: (P,), means in P = min(T, 64) equal bins of the position in the sequence."""
    return gate(layer, name, "positions/mean")


def timescale(layer: str, what: str) -> str:
    """`timescale/0/units` (H,), steps; `timescale/0/q50`, a quantile over the units (q10, q50, q90, max)."""
    return f"timescale/{layer}/{what}"


def retention(layer: str, what: str) -> str:
    """`retention/0/lags` (K,), steps; `retention/0/mean` (K,), the share that is left after each lag."""
    return f"retention/{layer}/{what}"


def flow(layer: str, part: str, what: str, end: bool = False) -> str:
    """`flow/0/h/norm` (K,) of the task's own loss, `flow_end/0/h/norm` of a loss at the last step only.

    Beside it `lags` (K,), and the scalars `half_life` (steps, measured: the first crossing of half), `slope` (natural log per
    step) and `r2` of the exponential that fits best, and `omega`.
    """
    return f"{'flow_end' if end else 'flow'}/{layer}/{part}/{what}"


def state(layer: str, part: str, what: str) -> str:
    """`state/0/c/norm`; `state/0/c/growth`, of the norm per step; `state/0/c/positions/norm` (P,)."""
    return f"state/{layer}/{part}/{what}"


def lyapunov(layer: str, what: str) -> str:
    """`lyapunov/0/largest`, nats per step; `largest_over_starts` and `largest_over_sequences`, its spread; `transient` (steps)."""
    return f"lyapunov/{layer}/{what}"


def jacobian(layer: str, what: str) -> str:
    """`jacobian/0/singular_values` (parts * H,) of one step, descending; `jacobian/0/largest`."""
    return f"jacobian/{layer}/{what}"


def gradient(parameter: str | None = None, block: str | None = None) -> str:
    """`grad/norm` (global), `grad/rnn.0.R` (of a parameter), `grad/rnn.0.R/forget` (of a gate's block of rows)."""
    if parameter is None:
        return "grad/norm"
    return f"grad/{parameter.replace('rnn.layers.', 'rnn.')}" + (f"/{block}" if block else "")


def plot(family: str, layer: str, name: str | None = None) -> str:
    """`plot/gate/0/forget`, `plot/flow/0`: a figure in W&B."""
    return f"plot/{family}/{layer}" + (f"/{name}" if name else "")


def table(name: str) -> str:
    """`table/units`: a table in W&B."""
    return f"table/{name}"


STEP = "trainer/global_step"  # the step metric of W&B, as Lightning's WandbLogger names it
CLIP_RATE = "clip/rate"  # share of the steps since the last record whose gradient was clipped
LEARNING_RATE = "lr"
STEPS_PER_SECOND = "time/steps_per_second"
