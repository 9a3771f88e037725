"""What the runs of a paper say of its claims."""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gatelab.analysis.importance.variance import drawn, variance_shares
from gatelab.analysis.papers.claims import FAILS, HOLDS, UNDECIDED, Arm, Kind, Verdict, decide, judge, judge_search, typical
from gatelab.analysis.papers.paper import Claim, Paper
from gatelab.analysis.papers.shares import judge_shares
from gatelab.analysis.reading.quantities import of_search, of_variance, quantity, time_of
from gatelab.analysis.statistics.intervals import Interval
from gatelab.analysis.statistics.selection import Trials, chosen
from gatelab.runs import Run

# What stands beside the scores of an arm, by the names of a summary: H, parameters, FLOPs of a time step, seconds.
COSTS = ("hidden_size", "parameters", "flops_per_step", "seconds_per_step", "wall_seconds")


@dataclass(frozen=True)
class JudgedClaim:
    """A claim and what the runs say of it.

    Attributes:
        values: the quantity by arm, of each run that counts; a share of the variance has one.
        label: "confirmatory", or since when the claim is "exploratory"; see `protocol`.
    """

    claim: Claim
    verdict: Verdict
    values: Mapping[str, Sequence[float]]
    label: str = ""

    @property
    def typical(self) -> dict[str, float]:
        """By arm the median of the quantity, or its mean where values scatter around one place or are the best of a search."""
        return {arm: _typical(values, self.claim.kind) for arm, values in self.values.items()}


def evaluate(paper: Paper, scale: str, runs: Mapping[str, Sequence[Run]], look: int = 1) -> list[JudgedClaim]:
    """Every claim that the scale is meant to decide, or all if it names none; together they are one family (`claims.decide`).

    Args:
        runs: the runs of every arm that finished or diverged. One that diverged counts among the trials of a search, behind all
            others; elsewhere it leaves a claim open, or of a claim about times counts as one that never got there.
        look: how often these claims were evaluated with different runs, this time included.

    Raises:
        UserError: a run cannot be read.
    """
    claims = [paper.claims[name] for name in paper.scales[scale].decides or paper.claims]
    if paper.select is not None:
        claims = [dataclasses.replace(claim, kind="best") for claim in claims]
    search = paper.scales[scale].search
    searched = {arm for claim in claims if of_search(claim.quantity) for arm in claim.arms}
    shares = {arm: variance_shares(runs[arm], search) for arm in sorted(searched) if runs[arm]}
    judged = [_judged(paper, claim, runs, search, shares) for claim in claims]
    decided = decide([one.verdict for one in judged], look)
    return [dataclasses.replace(one, verdict=verdict) for one, verdict in zip(judged, decided, strict=True)]


def _judged(
    paper: Paper,
    claim: Claim,
    runs: Mapping[str, Sequence[Run]],
    search: Mapping[str, str],
    shares: Mapping[str, Mapping[str, float]],
) -> JudgedClaim:
    n = tuple(len(runs[arm]) for arm in claim.arms)
    missing = [arm for arm in claim.arms if not runs[arm]]
    if missing:
        return JudgedClaim(claim, _open(n, f"{missing[0]} has no finished run"), {})
    if of_search(claim.quantity):
        of_arms = {arm: [of_variance(claim.quantity, shares[arm])[2]] for arm in claim.arms}
        known = [shares[arm] for arm in claim.arms]
        return JudgedClaim(claim, judge_shares(claim.comparison, claim.quantity, known, n, claim.margin), of_arms)
    if paper.select is not None:
        return _of_search(claim, paper.select, [_trials(claim, runs[arm], search) for arm in claim.arms])
    arms = [_arm(claim, runs[arm]) for arm in claim.arms]
    verdict = judge(claim.comparison, arms, claim.kind, claim.higher_is_better, claim.margin)
    return JudgedClaim(claim, verdict, {name: arm.values for name, arm in zip(claim.arms, arms, strict=True)})


def _open(n: tuple[int, ...], note: str) -> Verdict:
    return Verdict(UNDECIDED, Interval(math.nan, None, None), n, note=note)


def _arm(claim: Claim, runs: Sequence[Run]) -> Arm:
    if claim.kind == "time":
        times, solved = zip(*(time_of(claim.quantity, run) for run in runs), strict=True)
        return Arm(times, solved)
    return Arm([quantity(claim.quantity, run) for run in runs])


def _trials(claim: Claim, runs: Sequence[Run], search: Mapping[str, str]) -> Trials:
    """The trials of an arm; the validation score of one that diverged is behind all others."""
    values = []
    for run in runs:
        summary = {} if run.diverged else run.summary()
        value = float(summary["val"][summary["metric"]]) if summary else math.inf
        values.append(-value if summary and summary["higher_is_better"] else value)
    tests = np.array([quantity(claim.quantity, run) for run in runs])
    return Trials(np.array(values), tests, tuple(tuple(drawn(run, search).items()) for run in runs))


def _of_search(claim: Claim, share: float, trials: Sequence[Trials]) -> JudgedClaim:
    """A claim about the best trials of searches."""
    kept = [side.test[np.argsort(side.validation, kind="stable")[: chosen(len(side.test), share)]] for side in trials]
    values = dict(zip(claim.arms, (one.tolist() for one in kept), strict=True))
    n = tuple(len(one) for one in kept)
    broken = sum(int((~np.isfinite(one)).sum()) for one in kept)
    if broken:
        return JudgedClaim(claim, _open(n, f"{broken} of the best runs {'has' if broken == 1 else 'have'} no finite value"), values)
    verdict = judge_search(claim.comparison, trials, share, claim.higher_is_better, claim.margin)
    return JudgedClaim(claim, dataclasses.replace(verdict, n=n), values)


def _typical(values: Sequence[float], kind: Kind) -> float:
    return typical(values, kind).value if all(map(math.isfinite, values)) else math.nan


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
    record |= {"typical": judged.typical, "values": {arm: list(values) for arm, values in judged.values.items()}}
    record |= {"verdict": verdict.decision, "p_holds": verdict.p_holds, "p_fails": verdict.p_fails, "note": verdict.note}
    return record | {"label": judged.label}
