"""The results of a search: the best trial of each variant, what mattered, and the command that trains it with several seeds."""

import shlex
from collections.abc import Mapping, Sequence

from optuna import Study
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table
from rich.text import Text

from gatelab.analysis.importance.errors import determined, with_error
from gatelab.analysis.importance.variance import LEAST, variance_shares
from gatelab.analysis.statistics.intervals import Interval
from gatelab.errors import UserError
from gatelab.process.console import Console
from gatelab.runs import NOT_IDENTITY, read_run
from gatelab.sweeps.search.studies import SearchedVariant

SEEDS = 10  # seeds of the command: with five, not even a paired exact test could be significant


def print_found(variants: Sequence[SearchedVariant], studies: Sequence[Study], console: Console | None = None) -> None:
    """Prints a row for every variant, and below the commands that compare them.

    The score of the test set is that of the trial which validation chose. Shares of variance are fANOVA's, of the validation
    score over the whole trials.
    """
    console = console or Console()
    metric = variants[0].metric
    table = Table(box=None, header_style="dim", pad_edge=False)
    for heading in ("variant", "trials", f"val {metric}", f"test {metric}", "best options"):
        text = heading in ("variant", "trials") or heading.startswith("best")
        table.add_column(heading, justify="left" if text else "right", overflow="fold")
    commands = []
    for variant, study in zip(variants, studies, strict=True):
        trials = [trial for trial in study.get_trials(deepcopy=False) if not trial.user_attrs.get("surplus")]
        best = _best(study, trials)
        label, counts = Text(f"{variant.cell} {variant.task} s{variant.seed}"), _counts(trials)
        if best is None:
            table.add_row(label, counts, "–", "–", "")
            continue
        chosen = variant.space.written(best.params)
        explains = {key: f" ({share:.0%} of the variance)" for key, share in _shares(variant, trials).items()}
        options = [f"{key}={value}{explains.get(key, '')}" for key, value in chosen.items()]
        table.add_row(label, counts, f"{best.value:.4g}", f"{float(best.user_attrs['test']):.4g}", Text("\n".join(options)))
        commands.append(_command(variant, chosen))
    console.print(table)
    if commands:
        console.print("To train the best of each with several seeds:", highlight=False)
    for command in commands:
        console.print(Text(command), soft_wrap=True)


def _best(study: Study, trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The best of the complete trials; the first of equal ones."""
    whole = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    sign = -1 if study.direction.name == "MAXIMIZE" else 1
    return min(whole, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None)


def _counts(trials: Sequence[FrozenTrial]) -> str:
    """How the trials ended; a failed trial that was retried counts once, with its last result."""
    again = {trial.user_attrs.get("owner", {}).get("retries") for trial in trials}
    states = [
        "diverged" if trial.user_attrs.get("diverged") else trial.state.name.lower()
        for trial in trials
        if trial.number not in again
    ]
    words = {"complete": "complete", "pruned": "pruned", "diverged": "diverged", "fail": "failed", "running": "running"}
    return ", ".join(f"{states.count(state)} {word}" for state, word in words.items() if states.count(state))


def _shares(variant: SearchedVariant, trials: Sequence[FrozenTrial]) -> dict[str, float]:
    """The share of the variance of every option that all trials have, where these determine it."""
    whole = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    search = {
        domain.key: domain.text for domain in variant.space.domains if whole and all(domain.key in trial.params for trial in whole)
    }
    if len(whole) < LEAST or len(search) < 2:
        return {}
    try:
        found = variance_shares([read_run(variant.out / trial.user_attrs["run"]) for trial in whole], search)
    except UserError:  # runs of another machine are missing here
        return {}
    intervals = {key: with_error(Interval(share, None, None), len(whole), len(found)) for key, share in found.items()}
    return {key: share.value for key, share in intervals.items() if determined(share)}


def _command(variant: SearchedVariant, chosen: Mapping[str, str]) -> str:
    """The command that trains the best trial of a variant again, as a sweep over seeds."""
    kept = [item for item in variant.overrides if item.split("=")[0].split(".")[0] not in ("seed", "sweep", *NOT_IDENTITY)]
    kept += [item for item in variant.overrides if item.split("=")[0] in ("plugins", "out")]
    return shlex.join(
        ["gatelab", "train", "-m", *kept, *(f"{key}={value}" for key, value in chosen.items()), f"seed=range({SEEDS})"]
    )
