"""The trials of one Optuna study that several processes may work on: exactly as many as asked for, none trained twice.

The processes share only the study. Numbers of trials are assigned once, in order, and decide which process may
continue:

- Trial k is granted if fewer than n trials with a lower number count; else it is surplus (two processes asked at once), is reported
  as failed at once and does not count.
- A trial that failed in an earlier command is retried, with its values, by one new trial that names it; of two that name the
  same one the lower number is granted.
- A trial records the process that trains it. If that process is gone, its trials are settled by what their run directories
  show. On this host the process table tells; on another host the process counts as gone when its beat in the study stands still.
"""

import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, PartialFixedSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from gatelab.process.identity import process_alive, this_process
from gatelab.sweeps.search.draws import unit_number

BEAT_SECONDS = 10.0
SILENT_SECONDS = 60.0  # a process on another host counts as gone if its beat stands still for longer
_CLAIM_SECONDS = 10.0  # a trial records its process milliseconds after it gets its number, unless the process died in between


class SharedDraws(BaseSampler):
    """A sampler whose draws depend only on the seed, the number of the trial, the option and earlier trials.

    So studies with the same seed begin with the same draws, a resumed search draws what it would have drawn, and two processes
    on one study never draw the same.

    Args:
        make: makes the underlying sampler from a seed.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self._make, self._seed = make, seed
        self._joint = make(seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        self._joint = self._at(trial)
        return self._joint.infer_relative_search_space(study, trial)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, Any]) -> dict[str, Any]:
        return self._joint.sample_relative(study, trial, search_space)

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: Any) -> Any:
        return self._at(trial, param_name).sample_independent(study, trial, param_name, param_distribution)

    def _at(self, trial: FrozenTrial, *option: str) -> BaseSampler:
        return self._make(int(unit_number(self._seed, trial.number, *option) * 2**32))


def sign() -> dict[str, Any]:
    """The record of this process in its trials."""
    return this_process() | {"token": uuid.uuid4().hex[:12]}


class Trials:
    """The trials of a study, as one process sees them.

    Args:
        study: with the sampler that trials are drawn with.
        n_trials: the number of trials over all processes, including those that failed in this command.
        owner: the `sign()` of this process.
    """

    def __init__(self, study: Study, n_trials: int, owner: dict[str, Any]) -> None:
        self.study, self.n_trials, self.owner = study, n_trials, owner
        self._sampler = study.sampler
        self._failed_before = {trial.number for trial in self._all() if trial.state == TrialState.FAIL}
        self._beats: dict[str, tuple[Any, float]] = {}  # the last beat of other processes, and when it was first seen

    def left(self) -> int:
        """The number of trials still to begin."""
        return max(0, self.n_trials - len(self._counted(self._all())))

    def ask(self) -> Trial | None:
        """The next trial to train, still without values; None if none is left."""
        while len(self._counted(self._all())) < self.n_trials:
            failed = next(self._to_retry(), None)
            self.study.sampler = self._sampler if failed is None else _fixed(failed, self._sampler)
            trial = self.study.ask()
            trial.set_user_attr("owner", self.owner | {"retries": None if failed is None else failed.number})
            if self._granted(trial.number, failed):
                return trial
            trial.set_user_attr("surplus", True)
            self.study.tell(trial, state=TrialState.FAIL)
        return None

    def _granted(self, number: int, failed: FrozenTrial | None) -> bool:
        deadline = time.monotonic() + _CLAIM_SECONDS
        while True:
            before = [trial for trial in self._all() if trial.number < number]
            unsigned = [trial for trial in before if trial.state == TrialState.RUNNING and "owner" not in trial.user_attrs]
            if not unsigned or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        counted = self._counted(before)
        taken = failed is not None and any(_retries(trial) == failed.number for trial in counted)
        return len(counted) < self.n_trials and not taken

    def _counted(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        return [trial for trial in trials if not trial.user_attrs.get("surplus") and trial.number not in self._failed_before]

    def _to_retry(self) -> Iterator[FrozenTrial]:
        """Trials that failed before this command, unless another process has retried them."""
        trials = self._all()
        retried = {_retries(trial) for trial in trials if not trial.user_attrs.get("surplus")}
        for trial in trials:
            again = trial.number in self._failed_before and trial.number not in retried
            if again and trial.params and not trial.user_attrs.get("surplus"):
                yield trial

    def abandoned(self) -> tuple[list[FrozenTrial], list[FrozenTrial], bool]:
        """The running trials of other processes: those whose process is gone, those in training, and whether that is certain.

        A process on another host is gone if its beat has stood still for SILENT_SECONDS of this host's clock; until then it is
        not certain, and the caller asks again later.
        """
        gone, alive, certain = [], [], True
        attributes = self.study.user_attrs
        for trial in self._all():
            owner = trial.user_attrs.get("owner", {})
            if trial.state != TrialState.RUNNING or owner.get("token") == self.owner["token"]:
                continue
            if all(owner.get(key) == self.owner[key] for key in ("host", "boot")):
                (alive if process_alive(owner) else gone).append(trial)
                continue
            beat = attributes.get(f"beat {owner.get('token')}")
            seen, since = self._beats.setdefault(owner.get("token", ""), (beat, time.monotonic()))
            if seen != beat:
                self._beats[owner.get("token", "")] = beat, time.monotonic()
                alive.append(trial)
            elif time.monotonic() - since > SILENT_SECONDS:
                gone.append(trial)
            else:
                alive.append(trial)
                certain = False
        return gone, alive, certain

    def give_up(self, trial: FrozenTrial) -> None:
        """Marks a trial as failed because its process is gone; this command retries it."""
        self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        self._failed_before.add(trial.number)

    def beat(self, count: int) -> None:
        """Writes the beat of this process."""
        self.study.set_user_attr(f"beat {self.owner['token']}", count)

    def _all(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)


def _fixed(trial: FrozenTrial, sampler: BaseSampler) -> BaseSampler:
    """Samples the values of an earlier trial."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return PartialFixedSampler(trial.params, sampler)


def _retries(trial: FrozenTrial) -> int | None:
    return trial.user_attrs.get("owner", {}).get("retries")
