"""The function of a job: one run, trained in this process, whatever launcher started it."""

import importlib
import logging
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from gatelab.config import Config
from gatelab.errors import UserError
from gatelab.process import garbage, place
from gatelab.runs import Run
from gatelab.runs.lock import LOCK_SILENT_SECONDS, RunBusyError
from gatelab.sweeps.contracts import launcher_class
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.session import Session
from gatelab.training.failures import RunFailedError

LEAN_IMPORTS = "gatelab.training.lean_imports"  # to be imported before gatelab.training.fit
# A job that restarts after its node died finds its own old lock, which counts as held until it has been silent for long.
SECONDS_FOR_A_LOCK = 2 * LOCK_SILENT_SECONDS

_log = logging.getLogger(__name__)

compose.register_resolver()  # at import: the workers of a sweep resolve their run directory before they call it


class JobFunction:
    """Hydra's task function: trains one run, and returns its validation score, or nan so that other runs of a sweep continue.

    Args:
        session: the session of the command. It stays in its process: a copy in another process begins its own.
    """

    def __init__(self, session: Session | None = None) -> None:
        self.session = session or Session()

    def __reduce__(self) -> tuple[Any, ...]:
        return JobFunction, ()

    def __call__(self, composed: DictConfig) -> float:
        leading = place.leads()
        if not leading:
            logging.disable()  # only the leader prints and writes the log of the run
        try:
            run = _fit_when_free(compose.to_config(composed), _launcher())
        except RunFailedError as error:
            self.session.failed.append(error)
            return float("nan")
        except RunBusyError as error:  # another process trains it, and reports its result
            if HydraConfig.get().mode != RunMode.MULTIRUN:
                self.session.refused.append(error)
            return float("nan")
        except UserError as error:
            self.session.refused.append(error)
            if launcher_class(_launcher()).logs_refusals:
                _log.error("%s", error)
            return float("nan")
        if not leading:  # on another node, where the result may not be visible yet
            return float("nan")
        summary = run.summary()
        return float(summary["val"][summary["metric"]])


def _fit_when_free(config: Config, launcher: str | None) -> Run:
    """Like `fit`; on a cluster it waits until the lock of a process whose node died can be broken.

    Raises:
        RunBusyError: a living process is training this run.
        UserError, RunFailedError, KeyboardInterrupt: as in `fit`.
    """
    # This imports Lightning, which a process that only launches jobs does not need.
    importlib.import_module(LEAN_IMPORTS)
    from gatelab.training.fit import fit

    garbage.settle()
    return fit(config, launcher=launcher, lock_seconds=SECONDS_FOR_A_LOCK if launcher_class(launcher).comes_back else 0.0)


def _launcher() -> str | None:
    """The name of the launcher that started this job; None outside of a sweep."""
    own = HydraConfig.get()
    return own.runtime.choices.get("hydra/launcher") if own.mode == RunMode.MULTIRUN else None
