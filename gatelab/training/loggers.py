"""Loggers: the run's own metrics file, which is the truth, and mirrors of it that may fail."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger

from gatelab.runs import Writer


class MetricsLogger(Logger):
    """Base of gatelab's loggers: they take histograms and arrays as well, and end with an exit code."""

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

    def __init__(self, writer: Writer) -> None:
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
