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
