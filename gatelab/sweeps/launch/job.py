"""The function of a job: one run, trained in this process, whatever launcher started it."""

import logging

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from gatelab.errors import UserError
from gatelab.process import place
from gatelab.runs.lock import RunBusyError
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.launch import common
from gatelab.training.failures import RunFailedError

_log = logging.getLogger(__name__)
# By jobs of this process; Hydra would turn them into a traceback.
refused: list[UserError] = []
failed: list[RunFailedError] = []

compose.register_resolver()  # at import: the workers of a sweep resolve their run directory before they call `job`


def job(composed: DictConfig) -> float:
    """Trains one run; returns its validation score, or nan if it failed, so that other runs of a sweep go on."""
    leading = place.leads()
    if not leading:
        logging.disable()  # what is to be said, and written to the log of the run, is the leader's
    try:
        run = common.fit_when_free(compose.to_config(composed), _launcher())
    except RunFailedError as error:
        failed.append(error)
        return float("nan")
    except RunBusyError as error:  # it is another's, who says what becomes of it
        if HydraConfig.get().mode != RunMode.MULTIRUN:
            refused.append(error)
        return float("nan")
    except UserError as error:
        refused.append(error)
        if _launcher() not in (None, "local"):  # they say it themselves
            _log.error("%s", error)
        return float("nan")
    if not leading:  # on another node, where the result may not be seen yet
        return float("nan")
    summary = run.summary()
    return float(summary["val"][summary["metric"]])


def _launcher() -> str | None:
    """The name of the launcher that started this job; None outside of a sweep."""
    own = HydraConfig.get()
    return own.runtime.choices.get("hydra/launcher") if own.mode == RunMode.MULTIRUN else None
