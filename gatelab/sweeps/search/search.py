"""A running search: it asks for trials of all variants in turn, trains them in batches with any launcher, and reports the results.

Optuna does the searching. A trial becomes the overrides of a run, and the state of that run becomes the state of the trial:

    finished -> complete, with the best validation score     failed, stopped or lost -> failed; the same command tries it again
    pruned   -> pruned                                       diverged -> pruned, so that the sampler keeps away from there

Only this process uses the storage: it watches runs through their directories, and asks them to stop there.
"""

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from joblib import cpu_count
from optuna import Study
from optuna.exceptions import StorageInternalError
from optuna.trial import Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from gatelab.diagnostics import keys
from gatelab.errors import UserError
from gatelab.runs import Run, read_run
from gatelab.runs.stop_request import ask_to_stop
from gatelab.runs.sweep import live_state
from gatelab.sweeps.contracts import Launch
from gatelab.sweeps.jobs.compose import Composer, Job
from gatelab.sweeps.search.storage import open_storage, without_password
from gatelab.sweeps.search.studies import SearchedVariant, open_study, storage_url
from gatelab.sweeps.search.trials import BEAT_SECONDS, Trials, sign

if TYPE_CHECKING:
    from gatelab.sweeps.sweepers.optuna import Optuna

LOOK_SECONDS = 1.0  # between two reads of the validation scores of the runs in training

_log = logging.getLogger(__name__)


@dataclass
class Pending:
    """A trial of this process that Optuna does not know the end of yet."""

    trial: Trial
    trials: Trials
    variant: SearchedVariant
    job: Job
    overrides: list[str]
    reported: int = -1  # the step of the last score that was reported to Optuna

    def run(self) -> Run | None:
        """Its run in its present state; None before it has begun."""
        try:
            return read_run(self.job.path)
        except UserError:
            return None


class Search:
    """The search of one command.

    Args:
        options: the options of the search.
        variants: each has its own study.
        composer: composes its runs.
        on_batch: called with the runs that are about to be trained.
        passwords: passwords of storages, by the URL without it.
        dry: only show what would happen: a missing file is not created.

    Raises:
        UserError: the storage cannot be used.
    """

    def __init__(
        self,
        options: "Optuna",
        variants: Sequence[SearchedVariant],
        composer: Composer,
        on_batch: Callable[[list[Job]], object],
        passwords: Mapping[str, str],
        dry: bool = False,
    ) -> None:
        self.options, self.variants, self._composer, self._on_batch = options, variants, composer, on_batch
        self.jobs_at_once = options.n_jobs or cpu_count()
        storage = open_storage(storage_url(variants[0], options), passwords, dry)
        owner = sign()
        self.studies: list[Study] = [open_study(variant, options, storage) for variant in variants]
        self._trials = [Trials(study, options.n_trials, owner) for study in self.studies]
        self._pending: list[Pending] = []
        self._lock = threading.RLock()  # between the thread that watches and the one that reports

    def trials_left(self) -> int:
        """The number of trials still to train, over all variants."""
        return sum(trials.left() for trials in self._trials)

    def lines(self) -> list[str]:
        """Lines for the terminal, before it begins."""
        number, trials = len(self.variants), self.options.n_trials
        studies = f"1 study, {trials} trials" if number == 1 else f"{number} studies, one a variant, {trials} trials each"
        told = number * trials - self.trials_left()
        where = without_password(storage_url(self.variants[0], self.options))
        return [f"{studies}{f' ({told} already reported)' if told else ''}: {where}"]

    def report(self) -> None:
        """Prints the results."""
        from gatelab.sweeps.search.results import print_found

        print_found(self.variants, self.studies)

    def run(self, launch: Launch) -> list[Any]:
        """Trains until every study has its trials.

        Raises:
            UserError: the storage was lost; the same command continues the search.
        """
        returned = []
        try:
            with self._watching():
                try:
                    first = 0
                    while batch := self._batch():
                        jobs = list({item.job.path: item for item in batch}.values())
                        self._on_batch([item.job for item in jobs])
                        returned += launch([item.overrides for item in jobs], first)
                        first += len(jobs)
                        self._settle()
                finally:
                    self._settle(wait=False)
        except (SQLAlchemyError, StorageInternalError) as error:
            reason = " ".join(str(getattr(error.__cause__, "orig", None) or error).split())
            raise UserError(
                f"Lost the connection to the search's storage: {reason} No run was lost; repeat the command to continue."
            ) from error
        return returned

    def _batch(self) -> list[Pending]:
        """The next trials, one of each variant in turn, until a batch is full; empty if none is left."""
        while True:
            for variant, trials in zip(self.variants, self._trials, strict=True):
                self._take_over(variant, trials)
            batch: list[Pending] = []
            open_ = [*zip(self.variants, self._trials, strict=True)]
            while open_ and len(batch) < self.jobs_at_once:
                for pair in [*open_]:
                    trial = pair[1].ask()
                    if trial is None:
                        open_.remove(pair)
                        continue
                    item = self._begun(trial, *pair)
                    if not self._told(item):
                        batch.append(item)
                    if len(batch) == self.jobs_at_once:
                        break
            if batch or all(trials.abandoned()[2] for trials in self._trials):
                return batch
            time.sleep(LOOK_SECONDS)  # only time shows whether another machine is still working

    def _begun(self, trial: Trial, variant: SearchedVariant, trials: Trials) -> Pending:
        """Chooses the options of a trial; a run that was trained before is reported at once, without being trained again."""
        overrides = [*variant.overrides, *variant.space.suggest(trial)]
        job = self._composer.further_job(overrides)
        trial.set_user_attr("run", job.path.name)
        item = Pending(trial, trials, variant, job, overrides)
        self._pending.append(item)
        return item

    def _told(self, item: Pending) -> bool:
        """Reports a trial whose run has already ended."""
        run = item.run()
        ended = run is not None and (run.outcome == "finished" or run.diverged or (run.state == "pruned" and self._prunes))
        if ended:
            self._tell(item, run)
        return ended

    def _settle(self, wait: bool = True) -> None:
        """Reports the trials of a batch; waits for those whose runs are being trained elsewhere."""
        for item in [*self._pending]:
            run = item.run()
            while wait and run is not None and live_state(run) == "running":
                time.sleep(LOOK_SECONDS)
                run = item.run()
            self._tell(item, run)

    def _tell(self, item: Pending, run: Run | None) -> None:
        with self._lock:
            self._pending.remove(item)
            if run is not None:
                self._report(item, run)
            state, value = _outcome(run, item.variant.metric)
            if value is not None and run is not None:
                item.trial.set_user_attr("test", run.summary()["test"][item.variant.metric])
            if run is not None and run.diverged:
                item.trial.set_user_attr("diverged", True)
            item.trials.study.tell(item.trial, value, state, skip_if_finished=True)

    def _take_over(self, variant: SearchedVariant, trials: Trials) -> None:
        """Settles trials whose process is gone by the results of their runs."""
        for trial in trials.abandoned()[0]:
            path = variant.out / str(trial.user_attrs.get("run"))
            run = None
            with contextlib.suppress(UserError):
                run = read_run(path)
            state, value = _outcome(run, variant.metric)
            if state == TrialState.FAIL:
                trials.give_up(trial)
            else:
                trials.study.tell(trial.number, value, state, skip_if_finished=True)

    @property
    def _prunes(self) -> bool:
        return self.options.pruner != "none"

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        """While jobs are being trained, a thread reports their scores to Optuna, stops pruned ones, and writes heartbeats."""
        end = threading.Event()
        thread = threading.Thread(target=self._watch, args=(end,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

    def _watch(self, end: threading.Event) -> None:
        count, beaten = 0, -math.inf
        while not end.wait(LOOK_SECONDS):
            try:
                if time.monotonic() - beaten > BEAT_SECONDS:
                    count, beaten = count + 1, time.monotonic()
                    for trials in {id(item.trials): item.trials for item in [*self._pending]}.values():
                        trials.beat(count)
                for item in [*self._pending]:
                    self._look(item)
            except Exception as error:  # the runs continue; if the failure lasts, the main thread reports it
                _log.info("The search's storage or a run could not be read: %s", error)

    def _look(self, item: Pending) -> None:
        run = item.run()
        if run is None or run.state != "running":
            return
        with self._lock:
            if item not in self._pending or not self._report(item, run) or not self._prunes:
                return
            if item.trial.should_prune():
                reason = f"The {self.options.pruner} pruner ended it: trial {item.trial.number} of {item.variant.name}."
                ask_to_stop(item.job.path, reason)

    def _report(self, item: Pending, run: Run) -> bool:
        """Reports new validation scores to Optuna; returns whether there were any."""
        steps, values = run.metrics("val").get(keys.score("val", item.variant.metric), ([], []))
        new = [(step, value) for step, value in zip(steps, values, strict=True) if step > item.reported and math.isfinite(value)]
        for step, value in new:
            item.trial.report(value, step)
            item.reported = step
        return bool(new)


def _outcome(run: Run | None, metric: str) -> tuple[TrialState, float | None]:
    """The state and value of a trial from the state of its run."""
    if run is not None and run.outcome == "finished":
        return TrialState.COMPLETE, float(run.summary()["val"][metric])
    if run is not None and (run.state == "pruned" or run.diverged):
        return TrialState.PRUNED, None
    return TrialState.FAIL, None
