"""What the runs of a paper say of its claims."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gatelab.analysis.importance.variance import variance_shares
from gatelab.analysis.papers.claims import COMPARISONS, FAILS, HOLDS, UNDECIDED, Verdict
from gatelab.analysis.papers.paper import Claim, Paper
from gatelab.analysis.reading.quantities import of_search, of_variance, quantity
from gatelab.analysis.statistics.differences import Sample
from gatelab.analysis.statistics.intervals import Interval
from gatelab.runs import Run

# What stands beside the scores of an arm, by the names of a summary: H, parameters, FLOPs of a time step, seconds.
COSTS = ("hidden_size", "parameters", "flops_per_step", "seconds_per_step", "wall_seconds")


@dataclass(frozen=True)
class JudgedClaim:
    """A claim and what the runs say of it.

    Attributes:
        values: the quantity by arm, of each run that counts; a share of the variance has one.
    """

    claim: Claim
    verdict: Verdict
    values: Mapping[str, Sequence[float]]

    @property
    def means(self) -> dict[str, float]:
        """The mean of the quantity, by arm."""
        return {arm: _mean(values) for arm, values in self.values.items()}


def evaluate(paper: Paper, scale: str, runs: Mapping[str, Sequence[Run]]) -> list[JudgedClaim]:
    """Every claim that the scale is meant to decide, or all if it names none.

    Args:
        runs: the runs of every arm that finished or diverged. One that diverged counts among the trials of a search, behind all
            others; elsewhere it leaves a claim open.

    Raises:
        UserError: a run cannot be read.
    """
    claims = [paper.claims[name] for name in paper.scales[scale].decides or paper.claims]
    chosen = {arm: _selected(members, paper.select) for arm, members in runs.items()}
    search = paper.scales[scale].search
    searched = {arm for claim in claims if of_search(claim.quantity) for arm in claim.arms}
    shares = {arm: variance_shares(runs[arm], search) for arm in sorted(searched) if runs[arm]}
    return [_judged(claim, chosen, shares, paired=paper.select is None) for claim in claims]


def _judged(
    claim: Claim, chosen: Mapping[str, Sequence[Run]], shares: Mapping[str, Mapping[str, float]], paired: bool
) -> JudgedClaim:
    missing = [arm for arm in claim.arms if not chosen[arm]]
    if missing:
        n = tuple(len(chosen[arm]) for arm in claim.arms)
        verdict = Verdict(UNDECIDED, Interval(math.nan, None, None), n, note=f"no finished run of {missing[0]}")
        return JudgedClaim(claim, verdict, {})
    if of_search(claim.quantity):
        # One number for each arm: the arms together are the sample.
        values: dict[str, Sequence[float]] = {arm: [of_variance(claim.quantity, shares[arm])] for arm in claim.arms}
        samples = [Sample([value for (value,) in values.values()], tuple(range(len(values))))]
    else:
        samples = [_sample(claim.quantity, chosen[arm], paired) for arm in claim.arms]
        values = {arm: sample.scores for arm, sample in zip(claim.arms, samples, strict=True)}
    compare = COMPARISONS[claim.comparison][0]
    return JudgedClaim(claim, compare(samples, claim.higher_is_better, claim.margin), values)


def _selected(runs: Sequence[Run], share: float | None) -> list[Run]:
    """The best runs by validation score, at least two of them."""
    if share is None:
        return list(runs)

    def score(run: Run) -> float:
        if run.diverged:
            return math.inf
        summary = run.summary()
        value = float(summary["val"][summary["metric"]])
        return -value if summary["higher_is_better"] else value

    return sorted(runs, key=score)[: max(2, round(share * len(runs)))]


def _sample(text: str, runs: Sequence[Run], paired: bool) -> Sample:
    return Sample([quantity(text, run) for run in runs], tuple(run.seed for run in runs) if paired else ())


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def exit_status(claims: Sequence[JudgedClaim]) -> int:
    """0 when all claims that are decided hold, 1 otherwise."""
    return int(any(judged.verdict.decision == FAILS for judged in claims))


def summarise(claims: Sequence[JudgedClaim]) -> str:
    """`5 of 6 claims hold, 1 does not`."""
    held = sum(judged.verdict.decision == HOLDS for judged in claims)
    failed = sum(judged.verdict.decision == FAILS for judged in claims)
    undecided = len(claims) - held - failed
    parts = [f"{held} of {len(claims)} claims hold"]
    parts += [f"{failed} {'does' if failed == 1 else 'do'} not"] if failed else []
    parts += [f"{undecided} {'is' if undecided == 1 else 'are'} undecided"] if undecided else []
    return ", ".join(parts)


def as_record(
    paper: Paper, scale: str, claims: Sequence[JudgedClaim], runs: Mapping[str, Sequence[Run]], failed: Mapping[str, int]
) -> dict[str, Any]:
    """Everything that a reader of the result needs, in plain containers."""
    everything = [run for members in runs.values() for run in members if not run.diverged]
    origin = everything[0].provenance if everything else {}
    return {
        "paper": paper.name,
        "citation": paper.citation,
        "link": paper.link,
        "scale": scale,
        "claims": [_claim_record(judged) for judged in claims],
        "arms": {arm: _arm_record(members, failed.get(arm, 0)) for arm, members in runs.items()},
        "core_seconds": round(sum(float(run.summary()["wall_seconds"]) for run in everything), 1),
        "machine": origin.get("cpu"),
        "versions": origin.get("versions"),
    }


def _arm_record(runs: Sequence[Run], failed: int) -> dict[str, Any]:
    """What an arm cost: medians over its runs, since a search varies the size."""
    summaries = [run.summary() for run in runs if not run.diverged]
    record: dict[str, Any] = {"finished": len(summaries), "diverged": len(runs) - len(summaries), "failed": failed}
    for key in COSTS:
        found = [float(summary[key]) for summary in summaries if summary.get(key) is not None]
        record[key] = statistics.median(found) if found else None
    return record


def _claim_record(judged: JudgedClaim) -> dict[str, Any]:
    verdict = judged.verdict
    record = {key: value for key, value in asdict(judged.claim).items() if value != ""}
    record |= {"value": verdict.figure.value, "low": verdict.figure.low, "high": verdict.figure.high, "n": list(verdict.n)}
    record |= {"means": judged.means, "values": {arm: list(values) for arm, values in judged.values.items()}}
    record |= {"verdict": verdict.decision, "detectable": verdict.detectable}
    return record | {"needed": verdict.needed, "note": verdict.note}
