"""What was decided before the runs of a paper were made, and how often their results were looked at: `protocol.json`.

A claim is confirmatory if it was written down as it is now before the first of its runs. One that was added or changed when runs
were there is exploratory: they may have suggested it.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gatelab.analysis.papers.claims import UNDECIDED
from gatelab.analysis.papers.paper import Paper
from gatelab.analysis.papers.reproduction import JudgedClaim
from gatelab.errors import UserError
from gatelab.runs.files import read_formatted, with_format, write_json

FILE = "protocol.json"
CONFIRMATORY = "confirmatory"


@dataclasses.dataclass
class Protocol:
    """The claims of a paper at a scale as they were first written down, and the looks at their results.

    Attributes:
        path: of the file.
        claims: by name: `hash` of what decides it, `date` and `commit` of the paper's folder when it was written down, and how many
            of its `runs` were there by then.
        looks: for each the number of `runs` by arm, its `date`, and by claim its `hash` then and what was decided (`claims`).
    """

    path: Path
    claims: dict[str, dict[str, Any]]
    looks: list[dict[str, Any]]

    def write(self) -> None:
        """Replaces the file."""
        write_json(self.path, with_format({"claims": self.claims, "looks": self.looks}))

    def label(self, name: str) -> str:
        """ "confirmatory", or "exploratory since DATE (COMMIT)"."""
        claim = self.claims[name]
        if not claim["runs"]:
            return CONFIRMATORY
        commit = f" ({claim['commit'][:8]})" if claim.get("commit") else ""
        return f"exploratory since {claim['date']}{commit}"

    def look(self, runs: Mapping[str, int]) -> int:
        """The number of the look at these numbers of runs, from 1 on. The same runs, seen again, are the same look."""
        known = [look["runs"] for look in self.looks]
        return known.index(dict(runs)) + 1 if dict(runs) in known else len(known) + 1

    def settle(self, judged: Sequence[JudgedClaim], runs: Mapping[str, int], date: str) -> list[JudgedClaim]:
        """Records a look. What an earlier look decided stands: that is what keeps the error of many looks small.

        Returns:
            The claims with the decisions that stand, and with their labels.
        """
        number = self.look(runs)
        found = [self._standing(one, number) for one in judged]
        decided = {one.claim.name: [self.claims[one.claim.name]["hash"], one.verdict.decision] for one in found}
        entry = {"runs": dict(runs), "date": date, "claims": decided}
        self.looks[number - 1 :] = [entry, *self.looks[number:]]
        return found

    def _standing(self, judged: JudgedClaim, number: int) -> JudgedClaim:
        name, verdict = judged.claim.name, judged.verdict
        for earlier, look in enumerate(self.looks[: number - 1], start=1):
            digest, decision = look["claims"].get(name, ("", UNDECIDED))
            if decision != UNDECIDED and digest == self.claims[name]["hash"]:
                n = sum(look["runs"].get(arm, 0) for arm in judged.claim.arms)
                verdict = dataclasses.replace(verdict, decision=decision, note=f"decided by look {earlier}, at {n} runs")
                break
        return dataclasses.replace(judged, verdict=verdict, label=self.label(name))


def open_protocol(folder: Path, paper: Paper, scale: str, runs: Mapping[str, int], date: str, commit: str | None) -> Protocol:
    """Reads the protocol of a folder of runs and writes down the claims that it does not hold as they are now.

    Args:
        folder: where the runs are or will be.
        paper, scale: whose claims.
        runs: how many runs of each arm have a result already.
        date: of today; `commit`: of the paper's folder, None if it is not known.

    Raises:
        UserError: the file cannot be read.
    """
    path = folder / FILE
    raw = read_formatted(path) if path.exists() else {}
    claims, looks = raw.get("claims", {}), raw.get("looks", [])
    if not isinstance(claims, dict) or not isinstance(looks, list):
        raise UserError(f"{path} is damaged: it must hold claims and looks. Move it away to have it written again.")
    protocol = Protocol(path, claims, looks)
    for name in paper.scales[scale].decides or paper.claims:
        digest = fingerprint(paper, scale, name)
        if claims.get(name, {}).get("hash") != digest:
            there = sum(runs.get(arm, 0) for arm in paper.claims[name].arms)
            claims[name] = {"hash": digest, "date": date, "commit": commit, "runs": there}
    protocol.write()
    return protocol


def fingerprint(paper: Paper, scale: str, name: str) -> str:
    """The SHA-256 of what decides a claim: comparison, quantity, margin, and how its runs are made; neither words nor seeds."""
    claim, of_scale = paper.claims[name], paper.scales[scale]
    decides = {
        "claim": [claim.comparison, claim.arms, claim.quantity, claim.margin, claim.higher_is_better, claim.kind],
        "arms": [[paper.arms[arm], of_scale.arms.get(arm, ())] for arm in claim.arms],
        "runs": [paper.overrides, of_scale.overrides, of_scale.trials, dict(of_scale.search), paper.select],
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
