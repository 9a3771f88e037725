"""Mirrors of a run's metrics: W&B and CSV. A mirror that breaks never ends the run."""

import logging
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import WandbLogger

import gatelab
from gatelab.config import LONGEST_TAG
from gatelab.diagnostics import keys
from gatelab.runs import Run, Writer
from gatelab.training.loggers import CSVMirror, MetricsLogger, RunLogger
from gatelab.training.spec import Spec
from gatelab.training.wandb import media
from gatelab.training.wandb.account import wandb_disabled, wandb_offline

if TYPE_CHECKING:
    import wandb

START_SECONDS = 30  # how long W&B may take to begin a run
UPLOAD_SECONDS = 60  # how long W&B may still upload at the end of a run; what is left stays on disk for `wandb sync`

_log = logging.getLogger(__name__)


class WandbMirror(MetricsLogger):
    """Lightning's WandbLogger, which cannot end a run: at its first failure it logs a message and stops.

    All values of a step are sent as one row when the next step comes: a call costs the training 0.7 ms, whatever its size.
    A W&B run that cannot be resumed (offline) starts again with everything in the run's own files.

    Args:
        make: builds the WandbLogger; called at once, so that the W&B run exists from the start.
        run: the run directory that is mirrored.
        media_every: optimiser steps between two sets of plots and tables; 0: one at the end.
    """

    def __init__(self, make: Callable[[], WandbLogger], run: Run, media_every: int) -> None:
        super().__init__()
        self._wandb: WandbLogger | None = None
        self._broken = self._said = False
        self._run, self._media_every = run, media_every
        self._row: dict[str, Any] = {}  # values of the current step, not sent yet
        self._begun = False
        self._probed = self._drawn = 0  # steps of the last arrays and of the last media
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
        self._guard(lambda: self._add(media.bars(counts), step))

    def log_arrays(self, arrays: Mapping[str, list[float]], step: int) -> None:
        self._probed = step
        if self._media_every and step // self._media_every > self._drawn // self._media_every:
            self.draw()

    def draw(self) -> None:
        """Adds plots and tables of all probes to the values of the last one."""
        self._drawn = self._probed
        self._guard(lambda: self._add(media.plots(self._run) | media.tables(self._run), self._drawn))

    def send(self) -> None:
        """Sends the values of the current step, to which no more may come."""
        row, self._row = self._row, {}
        if row:
            self._guard(lambda: self._experiment.log(row))

    def close(self, exit_code: int) -> None:
        if self._probed > self._drawn:
            self.draw()
        self.send()
        if exit_code == 0:
            self._guard(self._result)
        # Also after a failure: a run left open would be taken up by the next job of this process.
        self._broken = self._wandb is None
        self._guard(lambda: self._experiment.finish(exit_code=exit_code))

    def _add(self, values: Mapping[str, Any], step: int) -> None:
        if not self._begun:
            self._begun = True
            self._guard(lambda: self._replay(step))
        if self._row.get(keys.STEP, step) != step:
            self.send()
        self._row |= {**values, keys.STEP: step}

    def _replay(self, step: int) -> None:
        """Sends what was recorded before the first step of this process, unless W&B itself has resumed the run."""
        if self._experiment.resumed:
            return
        for at, row in _rows(self._run, step):
            self._experiment.log(row | {keys.STEP: at})

    def _result(self) -> None:
        """The results as the summary; the best weights with configuration and provenance, and the code, as artifacts."""
        import wandb

        experiment, result = self._experiment, self._run.summary()
        plain = ("parameters", "steps", "best_step", "seconds_per_step", "wall_seconds", "chance", "solved")
        experiment.summary.update({name: result[name] for name in plain})
        model = wandb.Artifact(f"model-{experiment.id}", type="model", metadata={"step": result["best_step"]} | result["val"])
        for name in ("checkpoints/best.ckpt", "config.json", "provenance.json", "summary.json"):
            # In place: W&B would keep a copy for ever, outside of the run directory.
            model.add_file(str((self._run.path / name).resolve()), Path(name).name, policy="immutable")
        experiment.log_artifact(model, aliases=["best"])
        code = wandb.Artifact("gatelab-source", type="code", metadata={"version": gatelab.__version__})
        package = Path(gatelab.__file__).parent
        for path in sorted(package.rglob("*.py")):
            code.add_file(str(path), str(path.relative_to(package.parent)), policy="immutable")
        for path in sorted((self._run.path / "plugins").rglob("*.py")):
            code.add_file(str(path.resolve()), str(path.relative_to(self._run.path)), policy="immutable")
        experiment.log_artifact(code)

    @property
    def _experiment(self) -> "wandb.Run":
        assert self._wandb is not None, "a failed start has set _broken"
        return self._wandb.experiment

    def _guard(self, action: Callable[[], Any]) -> None:
        if self._broken:
            return
        try:
            action()
        except Exception as error:
            self._broken = True
            if self._said:  # its end fails, too
                return
            self._said = True
            _log.warning("W&B is no longer used for this run: %s: %s", type(error).__name__, error)


def build_loggers(spec: Spec, writer: Writer) -> list[MetricsLogger]:
    """The run's own logger, then the mirror that the configuration names.

    Args:
        spec: the run; its id becomes that of the W&B run.
        writer: its directory.
    """
    config = spec.config
    loggers: list[MetricsLogger] = [RunLogger(writer)]
    if config.logger.name == "csv":
        loggers.append(CSVMirror(writer.path))
    elif config.logger.name == "wandb" and not wandb_disabled(config.logger.mode):
        run = Run(writer.path, spec.plain, {})
        loggers.append(WandbMirror(lambda: _wandb_logger(spec, run), run, config.logger.media_every))
    return loggers


def _wandb_logger(spec: Spec, own: Run) -> WandbLogger:
    config = spec.config
    # One folder for all runs of a sweep, so that `wandb leet` and `wandb sync` find them together.
    folder = own.path if config.sweep is None else own.path.parent / "sweeps" / config.sweep
    folder.mkdir(parents=True, exist_ok=True)
    offline = wandb_offline(config.logger.mode)
    try:
        return _begun(spec, own, folder, offline)
    except Exception as error:
        if offline:
            raise
        # No network, or no right to write there: nothing is lost, and it can be sent later.
        what = " ".join(str(error).split()).rstrip(".")
        _log.warning(
            "W&B cannot be reached (%s); the run is recorded offline: wandb sync %s/wandb/offline-run-*",
            what,
            shlex.quote(str(folder)),
        )
        import wandb

        wandb.teardown()  # its service would say that the run is in use, by the attempt that failed
        return _begun(spec, own, folder, True)


def _begun(spec: Spec, own: Run, folder: Path, offline: bool) -> WandbLogger:
    import wandb

    config, task, run_id = spec.config, spec.task, spec.identity.run_id
    before = sorted((folder / "wandb").glob(f"offline-run-*-{run_id}")) if offline else []
    # Started here and not by Lightning, which would set WANDB_MODE for every later run of this process.
    run = wandb.init(
        project=config.logger.project,
        entity=config.logger.entity,
        dir=folder,
        id=run_id,
        resume=None if offline else "allow",
        mode="offline" if offline else "online",
        name=own.path.name.rpartition("-")[0],
        group=config.sweep,
        job_type=spec.task_name,
        # The names of plugins may be longer; the configuration of the run holds them whole.
        tags=[tag[:LONGEST_TAG] for tag in (config.cell["name"], spec.task_name, *config.logger.tags)],
        notes=config.logger.notes,
        config=own.config,
        reinit="finish_previous",
        # Otherwise a server that becomes unreachable would block the end of the run until it is back.
        settings=wandb.Settings(
            silent=True, console="off", init_timeout=START_SECONDS, finish_timeout=UPLOAD_SECONDS, finish_timeout_raises=True
        ),
    )
    for path in before:  # left by an interrupted process; the new one contains all of it (see WandbMirror)
        shutil.rmtree(path, ignore_errors=True)
    run.define_metric(keys.STEP)
    run.define_metric("*", step_metric=keys.STEP, step_sync=True)
    best = "max" if task.higher_is_better else "min"
    run.define_metric(keys.score("val", task.metric), keys.STEP, summary=f"{best},last")
    run.define_metric(keys.score("train", "loss"), keys.STEP, summary="min,last")
    return WandbLogger(experiment=run)


def _rows(run: Run, step: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Scalars and histograms of the run's own files before a step, in order."""
    rows: dict[int, dict[str, Any]] = {}
    for key, (steps, values) in run.metrics().items():
        for at, value in zip(steps, values, strict=True):
            rows.setdefault(at, {})[key] = value
    for key, (steps, counts) in run.histograms().items():
        for at, count in zip(steps, counts, strict=True):
            rows.setdefault(at, {}).update(media.bars({key: count}))
    yield from ((at, rows[at]) for at in sorted(rows) if at < step)
