"""The saved W&B workspace, built and serialised without a network."""

import json
import sys
from typing import Any

import pytest

from gatelab.errors import UserError
from gatelab.training.wandb import workspace


def strings(value: Any) -> set[str]:
    """Every string in a JSON value."""
    if isinstance(value, dict):
        return set().union(*map(strings, value.values()))
    if isinstance(value, list):
        return set().union(*map(strings, value))
    return {value} if isinstance(value, str) else set()


@pytest.mark.slow
def test_the_workspace_compares_variants() -> None:
    made = workspace.workspace("team", "project", {"mse": "min", "accuracy": "max"}, ["forget", "update"], 2)
    model = made._to_model()
    spec = json.loads(model.model_dump_json(by_alias=True))
    found = strings(spec)
    for key in (
        "val/mse",
        "val/accuracy",
        "gate/1/forget/saturated_right",
        "gate/0/update/at_events",
        "timescale/1/q50",
        "clip/rate",
    ):
        assert key in found, key
    assert {"flow_end/0/state/half_life", "grad/norm", "clip/rate", "plot/gate/1/forget", "plot/flow/0"} <= found
    assert {"summary:val/mse.min", "summary:val/accuracy.max", "config:cell.value.name", "config:optimizer.value.lr"} <= found
    assert spec["spec"]["section"]["runSets"][0]["grouping"] == [{"section": "config", "name": "cell.value.name"}]
    panels = [type(panel).__name__ for section in made.sections for panel in section.panels]
    assert {"LinePlot", "BarPlot", "ParallelCoordinatesPlot", "MediaBrowser", "WeavePanelSummaryTable"} == set(panels)
    assert [section.name for section in made.sections] == list(workspace.TEXTS)


def test_the_report_has_a_text_for_every_section() -> None:
    """Its blocks are built here; only its runs need the server."""
    made: Any = workspace.report("team", "project", {"mse": "min"}, ["forget"], 1)
    grids = [block for block in made.blocks if type(block).__name__ == "PanelGrid"]
    assert len(grids) == len(workspace.TEXTS)
    assert all(grid.panels and grid.runsets[0].groupby == ["config.cell.name"] for grid in grids)


def test_without_the_extra_the_command_to_install_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces.workspaces", None)
    with pytest.raises(UserError, match=r"pip install 'gatelab\[workspaces\]'"):
        workspace.workspace("team", "project", {"mse": "min"}, ["forget"], 1)
