"""The claims of a paper with their verdicts, for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from gatelab.analysis.comparison.numbers import NOTHING, bounds, engineering, probability
from gatelab.analysis.papers.claims import ALPHA, UNDECIDED
from gatelab.analysis.papers.paper import Paper
from gatelab.analysis.papers.reproduction import COSTS, JudgedClaim, summarise
from gatelab.analysis.reading.status import duration
from gatelab.analysis.statistics.sequential import spent
from gatelab.process.console import Console


def print_claims(paper: Paper, scale: str, claims: Sequence[JudgedClaim], record: Mapping[str, Any], console: Console) -> None:
    """Every claim with its verdict, then what the runs cost."""
    console.print(f"\n{paper.citation}\n{paper.link}   scale: {scale}\n", highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("claim", "in the paper", "here", "n", "verdict"):
        table.add_column(heading, overflow="fold")
    for judged in claims:
        verdict = judged.verdict
        figure = bounds(verdict.figure)
        typical = ", ".join(f"{arm} {mean:.4g}" for arm, mean in judged.typical.items())
        p = min(verdict.p_holds, verdict.p_fails)
        said = f"{verdict.decision} (p {_p(p)})" if verdict.decision != UNDECIDED else verdict.decision
        said = "; ".join(filter(None, [said, verdict.note, judged.label]))
        claim, quantity = judged.claim, f"{judged.claim.quantity}: {typical}\n{judged.claim.comparison}: {figure}"
        table.add_row(f"{claim.statement} ({claim.source})", claim.paper, quantity, "/".join(map(str, verdict.n)), said)
    console.print(table)
    console.print(
        f"{len(claims)} claims are one family: p is adjusted after Holm, and this is look {record['look']} at the results. A claim "
        f"holds or does not where p is at most {ALPHA * spent(record['look']):.2g}; intervals are 95%, for each claim alone.\n",
        highlight=False,
    )
    console.print(_costs(record["arms"]))
    counts = {what: sum(arm[what] for arm in record["arms"].values()) for what in ("diverged", "failed")}
    lost = "".join(f"; {count} runs {what}" for what, count in counts.items() if count)
    time_taken = f"{duration(record['elapsed_seconds'])} for this command; its runs took {record['core_seconds']:,.0f} core seconds"
    console.print(f"\n{summarise(claims)}{lost}. {time_taken} on {record['machine']}.", highlight=False)


def _p(value: float) -> str:
    text = probability(value)
    return text if text.startswith("<") else f"= {text}"


def _costs(arms: Mapping[str, Any]) -> Table:
    """What stands beside the scores: sizes and costs of every arm."""
    table = Table(box=None, header_style="bold", pad_edge=False, caption="medians over the runs; FLOPs of one time step, forward")
    table.add_column("\narm")
    for heading in ("\nruns", "\nH", "\nparams", "FLOPs\na step", "\ns/step", "\nseconds"):
        table.add_column(heading, justify="right")
    for name, arm in arms.items():
        costs = [NOTHING if arm[key] is None else engineering(arm[key]) for key in COSTS]
        table.add_row(name, str(arm["finished"]), *costs)
    return table
