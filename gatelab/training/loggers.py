"""Where numbers go: the run's own metrics file, which is the truth, and mirrors of it that may fail."""

import contextlib
import logging
import netrc
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger

from gatelab.config import Config
from gatelab.runs import RunWriter

_log = logging.getLogger(__name__)

STEP = "trainer/global_step"  # the step metric of W&B, as Lightning's WandbLogger names it


class MetricsLogger(Logger):
    """Base of our loggers: histograms and arrays beside scalars, and an end with an exit code."""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The configuration is written once, when the run starts."""

    def log_histograms(self, counts: Mapping[str, list[int]], step: int) -> None:
        """Counts in equal bins over [0, 1] by key, at an optimiser step."""

    def log_arrays(self, arrays: Mapping[str, list[float]], step: int) -> None:
        """Arrays by key, at an optimiser step."""

    def close(self, exit_code: int) -> None:
        """Ends the record of this run."""


class RunLogger(MetricsLogger):
    """Writes `metrics.jsonl`, `histograms.jsonl` and `arrays.jsonl` of the run directory."""

    def __init__(self, writer: RunWriter) -> None:
        super().__init__()
        self._writer = writer

    @property
    def name(self) -> str:
        return "gatelab"

    @property
    def version(self) -> str:
        return self._writer.path.name

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if metrics:
            self._writer.append("metrics.jsonl", {"step": step or 0} | dict(metrics))

    def log_histograms(self, counts: Mapping[str, list[int]], step: int) -> None:
        if counts:
            self._writer.append("histograms.jsonl", {"step": step} | dict(counts))

    def log_arrays(self, arrays: Mapping[str, list[float]], step: int) -> None:
        if arrays:
            self._writer.append("arrays.jsonl", {"step": step} | dict(arrays))


class CSVMirror(MetricsLogger):
    """Lightning's CSVLogger: `metrics.csv` in the run directory."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._csv = CSVLogger(path, name="", version="")

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._csv.log_metrics(dict(metrics), step)

    def close(self, exit_code: int) -> None:
        self._csv.save()


UPLOAD_SECONDS = 60  # how long W&B may still upload at the end of a run; what is left stays on disk for `wandb sync`


class WandbMirror(MetricsLogger):
    """Lightning's WandbLogger, kept from ending a run: at its first failure it says so once and stays silent.

    What belongs to one step is sent as one row when the next step comes: a call costs the training 0.7 ms, however much is in it.

    Args:
        make: builds the WandbLogger; called at once, so that the W&B run exists from the start.
    """

    def __init__(self, make: Callable[[], WandbLogger]) -> None:
        super().__init__()
        self._wandb: WandbLogger | None = None
        self._broken = False
        self._row: dict[str, Any] = {}  # of the step in it, not sent yet
        self._guard(lambda: setattr(self, "_wandb", make()))

    @property
    def name(self) -> str:
        return "wandb"

    @property
    def version(self) -> str:
        return ""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._add(metrics, step or 0)

    def log_histograms(self, counts: Mapping[str, list[int]], step: int) -> None:
        def bars() -> None:
            import numpy
            import wandb

            edges = {len(value): numpy.linspace(0, 1, len(value) + 1) for value in counts.values()}
            made = {key: wandb.Histogram(np_histogram=(numpy.array(value), edges[len(value)])) for key, value in counts.items()}
            self._add(made, step)

        self._guard(bars)

    def _add(self, values: Mapping[str, Any], step: int) -> None:
        if self._row.get(STEP, step) != step:
            self._send()
        self._row |= {**values, STEP: step}

    def _send(self) -> None:
        row, self._row = self._row, {}
        if row:
            self._guard(lambda: self._run_of_wandb().experiment.log(row))

    def close(self, exit_code: int) -> None:
        self._send()
        # Also after a failure: a run left open would be taken up by the next job of this process.
        self._broken = self._wandb is None
        self._guard(lambda: self._run_of_wandb().experiment.finish(exit_code=exit_code))

    def _run_of_wandb(self) -> WandbLogger:
        assert self._wandb is not None, "a failed start has set _broken"
        return self._wandb

    def _guard(self, action: Callable[[], Any]) -> None:
        if self._broken:
            return
        try:
            action()
        except Exception as error:
            self._broken = True
            _log.warning("W&B is left out of this run from here on: %s: %s", type(error).__name__, error)


def wandb_offline(mode: str) -> bool:
    """Whether W&B writes to disk only: asked for, by WANDB_MODE, or because no key is configured (never a prompt)."""
    if mode != "auto":
        return mode == "offline"
    if os.environ.get("WANDB_MODE"):
        return os.environ["WANDB_MODE"] != "online"
    return not (os.environ.get("WANDB_API_KEY") or _key_in_netrc())


def _key_in_netrc() -> bool:
    """Whether `wandb login` left a key for the server in use."""
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    for path in (os.environ.get("NETRC"), Path.home() / ".netrc", Path.home() / "_netrc"):
        with contextlib.suppress(OSError, netrc.NetrcParseError):
            if path and netrc.netrc(str(path)).authenticators(host):
                return True
    return False


def build_loggers(config: Config, writer: RunWriter, run_id: str, resolved: Mapping[str, Any]) -> list[MetricsLogger]:
    """The run's own logger first, then the mirror that the configuration names.

    Args:
        config: the run.
        writer: its directory.
        run_id: becomes the id of the W&B run.
        resolved: the configuration in plain containers, for W&B.
    """
    loggers: list[MetricsLogger] = [RunLogger(writer)]
    if config.logger.name == "csv":
        loggers.append(CSVMirror(writer.path))
    elif config.logger.name == "wandb":
        loggers.append(WandbMirror(lambda: _wandb_logger(config, writer, run_id, resolved)))
    return loggers


def _wandb_logger(config: Config, writer: RunWriter, run_id: str, resolved: Mapping[str, Any]) -> WandbLogger:
    import wandb

    # One folder for all runs of a sweep, so that `wandb leet` and `wandb sync` find them together.
    folder = writer.path if config.sweep is None else writer.path.parent / "sweeps" / config.sweep
    folder.mkdir(parents=True, exist_ok=True)
    offline = wandb_offline(config.logger.mode)
    # Started here and not by Lightning, which would set WANDB_MODE for every later run of this process.
    run = wandb.init(
        project=config.logger.project,
        entity=config.logger.entity,
        dir=folder,
        id=run_id,
        resume=None if offline else "allow",
        mode="offline" if offline else "online",
        name=writer.path.name.rpartition("-")[0],
        group=config.sweep,
        job_type=config.task["name"],
        tags=[config.cell["name"], config.task["name"]],
        config=dict(resolved),
        reinit="finish_previous",
        # A server that goes away in mid-run would otherwise hold the run at its end for as long as it is away.
        settings=wandb.Settings(
            silent=True, console="off", init_timeout=30, finish_timeout=UPLOAD_SECONDS, finish_timeout_raises=True
        ),
    )
    run.define_metric(STEP)
    run.define_metric("*", step_metric=STEP, step_sync=True)
    return WandbLogger(experiment=run)
