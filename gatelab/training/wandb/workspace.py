"""A saved W&B workspace and a report that compare variants: curves by cell, saturation, gradient flow, parallel coordinates, table.

Needs the extra `gatelab[workspaces]`. They show what `logger=wandb` sends.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gatelab.diagnostics import keys
from gatelab.errors import UserError

if TYPE_CHECKING:
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces.reports.v2.interface import Report

BY = "cell.name"  # the option that runs are grouped by
INPUTS = ("optimizer.lr", "model.hidden_size", "model.num_layers")  # axes of the parallel coordinates, beside the cell


def workspace(entity: str, project: str, metrics: Mapping[str, str], gates: Sequence[str], layers: int) -> "ws.Workspace":
    """The workspace, not yet saved; building it needs no network.

    Args:
        entity: W&B team or user.
        project: W&B project.
        metrics: scores of the tasks, and which of their values is the best: "min" or "max".
        gates: names of gates; where a cell has no such gate its line is missing.
        layers: the number of layers of the models.

    Raises:
        UserError: the extra is not installed.
    """
    wr, ws = _library()
    sections = [
        ws.Section(name=name, panels=panels, is_open=number < 3)
        for number, (name, panels) in enumerate(_panels(wr, metrics, gates, layers).items())
    ]
    return ws.Workspace(
        entity=entity,
        project=project,
        name="gatelab: variants",
        sections=sections,
        settings=ws.WorkspaceSettings(x_axis=keys.STEP),
        runset_settings=ws.RunsetSettings(groupby=[ws.Config(BY)]),
    )


def report(entity: str, project: str, metrics: Mapping[str, str], gates: Sequence[str], layers: int) -> "Report":
    """The report, not yet saved. Arguments and errors as for `workspace`; the library asks the server for the runs."""
    wr, _ = _library()
    blocks: list[Any] = [wr.TableOfContents()]
    for name, panels in _panels(wr, metrics, gates, layers).items():
        runs = wr.Runset(entity=entity, project=project, groupby=[f"config.{BY}"])
        blocks += [wr.H1(name), wr.P(TEXTS[name]), wr.PanelGrid(runsets=[runs], panels=panels)]
    return wr.Report(entity=entity, project=project, title="gatelab: variants", width="fluid", blocks=blocks)


TEXTS = {
    "Scores": "Validation against optimiser steps, mean over seeds and its standard error, and the best of each variant.",
    "Gates": "Share of activations below trainer.saturated_below (left) and above trainer.saturated_above (right), and what a gate "
    "does at the task's events.",
    "Memory": "How long a unit keeps its state (1 / (1 - f), median over the units), and in how many steps the gradient of a loss "
    "at the end halves.",
    "Gradients": "Global norm before clipping and the share of clipped steps.",
    "Options": "Every line is a run.",
    "Inside single runs": "Gate by unit over training, gradient against the lag, and the last probe unit by unit.",
}


def _panels(wr: Any, metrics: Mapping[str, str], gates: Sequence[str], layers: int) -> dict[str, list[Any]]:
    """The panels of every section."""
    scores = [keys.score("val", metric) for metric in metrics]
    best = [wr.SummaryMetric(f"{keys.score('val', metric)}.{of}") for metric, of in metrics.items()]
    depth = [str(layer) for layer in range(layers)]

    def lines(title: str, found: Iterable[str], log: bool = False) -> Any:
        style = {"groupby": wr.Config(BY), "groupby_aggfunc": "mean", "groupby_rangefunc": "stderr"}
        return wr.LinePlot(title=title, x=keys.STEP, y=list(found), log_y=log, title_x="optimiser step", **style)

    columns = [wr.ParallelCoordinatesPlotColumn(metric=wr.Config(name)) for name in (BY, *INPUTS)]
    columns += [wr.ParallelCoordinatesPlotColumn(metric=metric) for metric in best]
    return {
        "Scores": [lines(key, [key]) for key in scores]
        + [wr.BarPlot(title=f"{metric.name}", metrics=[metric], groupby=wr.Config(BY)) for metric in best],
        "Gates": [
            lines(f"{gate}, {what.replace('_', ' ')}", [keys.gate(layer, gate, what) for layer in depth])
            for gate in gates
            for what in ("saturated_left", "saturated_right", "at_events", "elsewhere")
        ],
        "Memory": [
            lines("Timescale, median (steps)", [keys.timescale(layer, "q50") for layer in depth], log=True),
            lines("Timescale, longest of a unit (steps)", [keys.timescale(layer, "max") for layer in depth], log=True),
            lines("Half-life of the gradient (steps)", [keys.flow(layer, "state", "half_life", True) for layer in depth], log=True),
            lines("Slope of the gradient (nats per step)", [keys.flow(layer, "state", "slope", True) for layer in depth]),
            lines("Omega", [keys.flow(layer, "state", "omega", True) for layer in depth], log=True),
        ],
        "Gradients": [lines("Norm before clipping", [keys.gradient()], log=True), lines("Clipped steps", [keys.CLIP_RATE])],
        "Options": [wr.ParallelCoordinatesPlot(title="Options and scores", columns=columns)],
        "Inside single runs": [
            wr.MediaBrowser(title="Gates", media_keys=[keys.plot("gate", layer, gate) for layer in depth for gate in gates]),
            wr.MediaBrowser(title="Gradient against the lag", media_keys=[keys.plot("flow", layer) for layer in depth]),
            wr.WeavePanelSummaryTable(table_name=keys.table("units")),
        ],
    }


def _library() -> tuple[Any, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # it is written for pydantic 1
            import wandb_workspaces.reports.v2 as wr
            import wandb_workspaces.workspaces as ws
    except ImportError as error:
        raise UserError(
            f"W&B workspaces and reports need an extra package: pip install 'gatelab[workspaces]' ({error})."
        ) from error
    return wr, ws
