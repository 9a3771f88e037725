"""Papers: what a folder under `experiments/` says of one, read and checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gatelab.analysis.papers.claims import COMPARISONS, Kind
from gatelab.analysis.reading.quantities import check_quantity, is_share, is_time, of_search
from gatelab.errors import UserError, unknown

SCALES = ("smoke", "reduced", "full")


@dataclass(frozen=True)
class Claim:
    """One statement of a paper that runs can decide.

    Attributes:
        name: its key in the YAML.
        statement: in our words; `source`: its table, figure or section; `paper`: the paper's own figure, in words.
        comparison: a key of `COMPARISONS`.
        arms: what is compared, in order.
        quantity: what is compared by, see `quantities`.
        margin: in the unit of the quantity; of a level the level, of a time to solve a factor.
        higher_is_better: the direction of the quantity.
        why: where margin and quantity come from.
        kind: how runs scatter, see `claims.Kind`: "single" where the file says `shape: single`, else by the quantity.
    """

    name: str
    statement: str
    source: str
    paper: str
    comparison: str
    arms: tuple[str, ...]
    quantity: str
    margin: float
    higher_is_better: bool
    why: str
    kind: Kind = "any"


@dataclass(frozen=True)
class Scale:
    """One way to run a paper.

    Attributes:
        overrides: of every arm, behind those of the paper.
        seeds: runs of each arm; of a search one of each draw.
        trials: draws of a search; 0 without one.
        search: option to interval, drawn for all arms alike: that of the paper, with what the scale changes; empty without one.
        hours: core hours expected; `measured`: where that comes from.
        decides: names of the claims that can be decided at this scale.
        arms: overrides of single arms, behind all others; with a `seed=...` among them an arm has runs of its own number.
    """

    overrides: tuple[str, ...]
    seeds: int
    trials: int
    search: Mapping[str, str]
    hours: float
    measured: str
    decides: tuple[str, ...]
    arms: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Paper:
    """A paper, as its `paper.yaml` describes it.

    Attributes:
        folder: where that lies.
        citation, link: authors, title, where; DOI or arXiv.
        about: what it shows, in a sentence.
        overrides: of every run; `arms`: name to what makes an arm.
        select: of each arm the share of trials that counts, by validation score; None: all.
        scales, claims: by name.
        choices: where the protocol is ambiguous, what was chosen and why.
    """

    folder: Path
    citation: str
    link: str
    about: str
    overrides: tuple[str, ...]
    arms: Mapping[str, tuple[str, ...]]
    select: float | None
    scales: Mapping[str, Scale]
    claims: Mapping[str, Claim]
    choices: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.folder.name


def find_papers(folder: Path) -> list[str]:
    """Names of the papers in a folder: sub-folders with a `paper.yaml`."""
    return sorted(path.parent.name for path in folder.glob("*/paper.yaml"))


def read_paper(folder: Path, name: str) -> Paper:
    """Reads `<folder>/<name>/paper.yaml`.

    Raises:
        UserError: the paper does not exist, or its file is malformed; the message names the place.
    """
    names = find_papers(folder)
    if name not in names:
        raise UserError(unknown("paper", name, names))
    path = folder / name / "paper.yaml"
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    return _Reader(path).paper(raw)


class _Reader:
    """Checks one file; every complaint names it and the place in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def paper(self, raw: Any) -> Paper:
        known = {"citation", "link", "about", "overrides", "arms", "search", "select", "scales", "claims", "choices"}
        values = self._mapping(raw, "the file", known, known - {"overrides", "search", "select", "choices"})
        arms = {name: self._words(value, f"arms.{name}") for name, value in self._mapping(values["arms"], "arms").items()}
        search = self._intervals(values.get("search"), "search")
        claims = {name: self._claim(name, value, arms, search) for name, value in self._mapping(values["claims"], "claims").items()}
        scales = self._mapping(values["scales"], "scales", set(SCALES), set(SCALES))
        select = values.get("select")
        if select is not None and not (isinstance(select, float) and 0 < select <= 1):
            raise self._error("select", f"is {select!r}, but must be a share above 0 and up to 1")
        return Paper(
            self.path.parent,
            _line(values["citation"]),
            _line(values["link"]),
            _line(values["about"]),
            self._words(values.get("overrides") or "", "overrides"),
            arms,
            select,
            {name: self._scale(name, value, claims, arms, search) for name, value in scales.items()},
            claims,
            tuple(map(_line, values.get("choices") or ())),
        )

    def _claim(self, name: str, raw: Any, arms: Mapping[str, Any], search: Mapping[str, str]) -> Claim:
        where = f"claims.{name}"
        known = {"statement", "source", "paper", "comparison", "arms", "quantity", "margin", "higher_is_better", "why", "shape"}
        values = self._mapping(raw, where, known, known - {"margin", "why", "shape"})
        comparison, given = values["comparison"], values["arms"]
        if comparison not in COMPARISONS:
            raise self._error(f"{where}.comparison", unknown("comparison", str(comparison), COMPARISONS))
        _, least, most = COMPARISONS[comparison]
        if not isinstance(given, list) or not least <= len(given) <= (most or len(arms)):
            count = str(least) if most == least else f"{least} or more"
            raise self._error(f"{where}.arms", f"'{comparison}' takes {count} of the arms in a list, and {given!r} is given")
        for arm in given:
            if arm not in arms:
                raise self._error(f"{where}.arms", unknown("arm", str(arm), arms))
        if not isinstance(values["higher_is_better"], bool):
            raise self._error(f"{where}.higher_is_better", "must be true or false")
        try:
            check_quantity(str(values["quantity"]), search)
        except UserError as error:
            raise self._error(f"{where}.quantity", str(error)) from error
        if of_search(str(values["quantity"])) and least > 1:
            raise self._error(f"{where}.comparison", "must be 'above' or 'below': the arms together are the sample of a share")
        kind = self._kind(values, where)
        margin = values.get("margin", 1.0 if kind == "time" else 0.0)
        if isinstance(margin, bool) or not isinstance(margin, int | float):
            raise self._error(f"{where}.margin", f"is {margin!r}, but must be a number")
        if kind == "time" and least > 1 and margin < 1:
            raise self._error(f"{where}.margin", f"is {margin!r}, but times to solve are compared by a factor of at least 1")
        statement, source, paper, why = (_line(values.get(key, "")) for key in ("statement", "source", "paper", "why"))
        quantity, higher = str(values["quantity"]), values["higher_is_better"]
        return Claim(name, statement, source, paper, comparison, tuple(given), quantity, float(margin), higher, why, kind)

    def _kind(self, values: Mapping[str, Any], where: str) -> Kind:
        """How the values scatter, by the quantity or as the file says."""
        shape, text = values.get("shape", "any"), str(values["quantity"])
        if shape not in ("any", "single"):
            raise self._error(f"{where}.shape", unknown("shape", str(shape), ("any", "single")))
        if not is_time(text) and not is_share(text):
            return shape
        if "shape" in values:
            raise self._error(f"{where}.shape", "says how numbers scatter, and this quantity is a time or a share")
        return "time" if is_time(text) else "share"

    def _scale(self, name: str, raw: Any, claims: Mapping[str, Any], arms: Mapping[str, Any], search: Mapping[str, str]) -> Scale:
        where = f"scales.{name}"
        known = {"overrides", "arms", "seeds", "trials", "search", "hours", "measured", "decides"}
        values = self._mapping(raw, where, known, {"seeds", "hours", "measured"} | ({"trials"} if search else set()))
        for key in ("seeds", "trials"):
            if not isinstance(values.get(key, 1), int) or values.get(key, 1) < 1:
                raise self._error(f"{where}.{key}", f"is {values[key]!r}, but must be a whole number from 1 on")
        decides = tuple(values.get("decides") or ())
        for claim in decides:
            if claim not in claims:
                raise self._error(f"{where}.decides", unknown("claim", str(claim), claims))
        overrides = self._words(values.get("overrides") or "", f"{where}.overrides")
        single = self._mapping(values.get("arms") or {}, f"{where}.arms")
        for arm in single:
            if arm not in arms:
                raise self._error(f"{where}.arms", unknown("arm", str(arm), arms))
        of_arms = {arm: self._words(value, f"{where}.arms.{arm}") for arm, value in single.items()}
        own = self._intervals(values.get("search"), f"{where}.search")
        for key in own:
            if key not in search:
                raise self._error(f"{where}.search", unknown("option of the search", key, search))
        trials, hours = values["trials"] if search else 0, float(values["hours"])
        return Scale(overrides, values["seeds"], trials, {**search, **own}, hours, str(values["measured"]), decides, of_arms)

    def _intervals(self, raw: Any, where: str) -> dict[str, str]:
        return {key: str(value) for key, value in self._mapping(raw or {}, where).items()}

    def _mapping(self, raw: Any, where: str, known: set[str] | None = None, needed: set[str] | None = None) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise self._error(where, "must be a mapping, `key: value` in lines")
        for key in raw:
            if known is not None and key not in known:
                raise self._error(where, unknown("key", str(key), sorted(known)))
        for key in sorted(needed or ()):
            if key not in raw:
                raise self._error(where, f"lacks '{key}'")
        return raw

    def _words(self, raw: Any, where: str) -> tuple[str, ...]:
        """Overrides as they are written on the command line, apart by white space."""
        if not isinstance(raw, str):
            raise self._error(where, "must be overrides in one text, as in 'cell=lstm cell.forget_bias=1'")
        words = tuple(raw.split())
        for word in words:
            if "=" not in word:
                raise self._error(where, f"'{word}' is not an override of the form key=value")
        return words

    def _error(self, where: str, what: str) -> UserError:
        return UserError(f"{self.path}: {where} {what}." if not what.endswith((".", "?")) else f"{self.path}: {where}: {what}")


def _line(text: Any) -> str:
    """A text of several lines in YAML as one."""
    return " ".join(str(text).split())
