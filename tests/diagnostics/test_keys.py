"""The names of metrics: `<family>/<where>/<what>`."""

from gatelab.diagnostics import keys


def test_score() -> None:
    assert keys.score("val", "nll") == "val/nll"


def test_gate() -> None:
    assert keys.gate("0", "forget", "saturated_right") == "gate/0/forget/saturated_right"
    assert keys.gate("1_reverse", "input") == "gate/1_reverse/input"


def test_gradient() -> None:
    assert keys.gradient() == "grad/norm"
    assert keys.gradient("rnn.layers.0.R") == "grad/rnn.0.R"
    assert keys.gradient("rnn.layers.1_reverse.W", "forget") == "grad/rnn.1_reverse.W/forget"
    assert keys.gradient("head.weight") == "grad/head.weight"


def test_arrays() -> None:
    assert keys.gate_units("0", "forget", "saturated_left") == "gate/0/forget/units/saturated_left"
    assert keys.gate_positions("1", "input") == "gate/1/input/positions/mean"
    assert keys.timescale("0", "q50") == "timescale/0/q50"
    assert keys.retention("0", "lags") == "retention/0/lags"
    assert keys.flow("0", "h", "norm") == "flow/0/h/norm"
    assert keys.flow("0_reverse", "state", "half_life", end=True) == "flow_end/0_reverse/state/half_life"
    assert keys.state("0", "c", "positions/norm") == "state/0/c/positions/norm"
    assert keys.lyapunov("0", "largest") == "lyapunov/0/largest"
    assert keys.jacobian("0", "singular_values") == "jacobian/0/singular_values"
