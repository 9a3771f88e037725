"""Options: their checks, their twin for Hydra, their page for `explain`."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, ValidationError

from gatelab.cells import CELLS
from gatelab.config import Logger
from gatelab.errors import UserError
from gatelab.options import Options, describe, option, schema
from gatelab.registry import Registry
from gatelab.tasks import TASKS

ENTRIES = [pytest.param(registry, name, id=f"{registry.kind}-{name}") for registry in (CELLS, TASKS) for name in registry.names()]


@dataclass(frozen=True)
class Sample(Options):
    """One option of every kind."""

    count: int = option(3, "a count", minimum=1, maximum=9)
    rate: float = option(0.5, "a rate", above=0.0)
    flag: bool = option(False, "a flag")
    mode: str = option("slow", "a mode", choices=("slow", "fast"))
    limit: int | None = option(None, "a limit; null: none", minimum=1)
    ceiling: float | None = option(1.0, "a ceiling", maximum=2.0)
    names: list[str] = option(help="names", factory=lambda: ["a"])  # noqa: RUF009 - a field with its own factory
    share: float = option(0.5, "a share", minimum=0.0, below=1.0)
    open: float = option(0.5, "perhaps without end", minimum=0.0, finite=False)
    text: str = option("a", "a text")
    short: str = option("a", "a short one", longest=64, without="/:")
    tags: list[str] = option(factory=list, help="short ones", longest=3)  # noqa: RUF009 - a field with its own factory


@dataclass(frozen=True)
class Nested(Options):
    """A list of lists, a list or nothing, and any list."""

    either: list[int] | None = option(None, "a list")  # noqa: RUF009 - as below
    bare: list = option([], "any list")  # noqa: RUF009 - as below
    pairs: list[list[int]] = option(help="pairs", factory=lambda: [[0]])  # noqa: RUF009 - a field with its own factory


@pytest.mark.parametrize(
    "given",
    [
        {"count": 1},
        {"count": 9},
        {"rate": 1e-9},
        {"rate": 2},
        {"flag": True},
        {"mode": "fast"},
        {"limit": None},
        {"limit": 1},
        {"ceiling": None},
        {"ceiling": 2},
        {"ceiling": -3e38},
        {"open": float("inf")},
        {"text": "x" * 255},
        {"short": "x" * 64},
        {"tags": ["a", "b"]},
        {"names": []},
    ],
    ids=str,
)
def test_accepted(given: dict[str, Any]) -> None:
    [(name, value)] = given.items()
    assert getattr(Sample(**given), name) == (tuple(value) if isinstance(value, list) else value)


def test_a_list_becomes_a_tuple_of_what_is_frozen() -> None:
    """So that a cell or a task with one can be hashed; a configuration that is not frozen keeps lists."""
    for given in (["b", "c"], ("b", "c")):
        sample = Sample(names=given)  # type: ignore[arg-type]
        assert sample.names == ("b", "c")
        assert hash(sample) == hash(Sample(names=["b", "c"]))
    assert Nested(either=[1]).either == (1,)  # type: ignore[comparison-overlap]
    assert Nested(either=None).either is None
    for wrong in (
        {"pairs": None},
        {"pairs": "ab"},
        {"pairs": [1]},
        {"pairs": [[None]]},
        {"either": "ab"},
        {"either": ["a"]},
        {"bare": 1},
    ):
        with pytest.raises(UserError, match=r"it must be (a list|of type int)"):
            Nested(**wrong)  # type: ignore[arg-type]
    assert Nested(pairs=[[1, 2], [3]]).pairs == ((1, 2), (3,))  # type: ignore[comparison-overlap]
    assert hash(Nested()) == hash(Nested(pairs=[[0]]))
    assert Logger(tags=["a"]).tags == ["a"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": 0}, "option 'count' is 0, but it must be at least 1."),
        ({"count": 10}, "option 'count' is 10, but it must be at most 9."),
        ({"count": 2.0}, "option 'count' is 2.0, but it must be of type int."),
        ({"count": True}, "option 'count' is True, but it must be of type int."),
        ({"count": None}, "option 'count' is None, but it must be of type int."),
        ({"count": "3"}, "option 'count' is '3', but it must be of type int."),
        ({"rate": 0}, "option 'rate' is 0, but it must be greater than 0.0."),
        ({"rate": float("nan")}, "option 'rate' is nan, but it must be greater than 0.0."),
        ({"rate": False}, "option 'rate' is False, but it must be of type float."),
        ({"rate": None}, "option 'rate' is None, but it must be of type float."),
        ({"flag": 1}, "option 'flag' is 1, but it must be of type bool."),
        ({"flag": "true"}, "option 'flag' is 'true', but it must be of type bool."),
        ({"mode": "fats"}, "Unknown value of 'mode' 'fats'. Did you mean 'fast'? Available: fast, slow."),
        ({"mode": 1}, "option 'mode' is 1, but it must be of type str."),
        ({"limit": 0}, "option 'limit' is 0, but it must be at least 1."),
        ({"limit": 1.5}, "option 'limit' is 1.5, but it must be of type int or null."),
        ({"limit": True}, "option 'limit' is True, but it must be of type int or null."),
        ({"count": -(10**25)}, "option 'count' is -10000000000000000000000000, but it must be at least 1."),
        ({"rate": float("inf")}, "option 'rate' is inf, but it must be a finite number, of at most 3.4e+38 in size."),
        ({"rate": 1e39}, "option 'rate' is 1e+39, but it must be a finite number, of at most 3.4e+38 in size."),
        ({"ceiling": float("-inf")}, "option 'ceiling' is -inf, but it must be a finite number, of at most 3.4e+38 in size."),
        ({"limit": 10**80}, "option 'limit' is an integer of 81 digits, but it must be at most 9223372036854775807."),
        ({"share": 1}, "option 'share' is 1, but it must be less than 1.0."),
        ({"share": float("nan")}, "option 'share' is nan, but it must be at least 0.0."),
        ({"open": float("nan")}, "option 'open' is nan, but it must be at least 0.0."),
        ({"text": ""}, "option 'text' is '', but it must not be empty."),
        ({"text": "  "}, "option 'text' is '  ', but it must not be empty."),
        ({"text": "x" * 256}, f"option 'text' is '{59 * 'x'}..., but it must have at most 255 characters; it has 256."),
        ({"text": "\x1b[31m"}, "option 'text' is '\\x1b[31m', but it must not contain control characters."),
        ({"short": "a/b"}, "option 'short' is 'a/b', but it must not contain any of / :."),
        ({"tags": "a"}, "option 'tags' is 'a', but it must be a list, as in [a,b]."),
        ({"tags": ["a", "four"]}, "option 'tags' is 'four', but it must have at most 3 characters; it has 4."),
        ({"tags": ["a", 3]}, "option 'tags' is 3, but it must be of type str."),
        ({"ceiling": 2.5}, "option 'ceiling' is 2.5, but it must be at most 2.0."),
    ],
    ids=str,
)
def test_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        Sample(**given)
    assert str(caught.value) == f"Sample: {message}"
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(("registry", "name"), ENTRIES)
def test_bounds_of_every_entry_are_enforced(registry: Registry[Any], name: str) -> None:
    for field in dataclasses.fields(registry.get(name)):
        meta = field.metadata
        outside = [meta["minimum"] - 1] if "minimum" in meta else []
        outside += [meta["maximum"] + 1] if "maximum" in meta else []
        outside += [meta["above"]] if "above" in meta else []
        outside += [meta["below"]] if "below" in meta else []
        outside += ["no such choice"] if "choices" in meta else []
        outside += [object()]
        for value in outside:
            with pytest.raises(UserError, match=f"'{field.name}'"):
                registry.build(name, **{field.name: value})


def test_option_keeps_what_its_owner_adds() -> None:
    field = option(1.0, "help", bias_of="f", minimum=0)
    assert dict(field.metadata) == {"help": "help", "bias_of": "f", "minimum": 0}


# The twin for Hydra, and the page for `explain`.


@pytest.mark.parametrize(("registry", "name"), ENTRIES)
def test_schema_of_every_entry(registry: Registry[Any], name: str) -> None:
    """It has the registry name in front and the defaults of the class, and gives the same object back."""
    config = OmegaConf.structured(schema(registry.get(name), name))
    plain = OmegaConf.to_container(config)
    assert isinstance(plain, dict)
    assert next(iter(plain.items())) == ("name", name)
    del plain["name"]
    assert registry.build(name, **plain) == registry.build(name)  # type: ignore[arg-type]


def test_schema_can_be_overridden_and_is_typed() -> None:
    """A frozen dataclass could not: OmegaConf makes it read-only."""
    config = OmegaConf.structured(schema(Sample, "sample"))
    config = OmegaConf.merge(config, OmegaConf.from_dotlist(["count=5", "rate=1", "flag=true", "limit=null", "names=[b,c]"]))
    assert OmegaConf.to_container(config) == {
        "name": "sample",
        "count": 5,
        "rate": 1.0,
        "flag": True,
        "mode": "slow",
        "limit": None,
        "ceiling": 1.0,
        "names": ["b", "c"],
        "share": 0.5,
        "open": 0.5,
        "text": "a",
        "short": "a",
        "tags": [],
    }
    for wrong in ("count=many", "flag=maybe", "count=null", "rate=[1]"):
        with pytest.raises(ValidationError):
            OmegaConf.merge(config, OmegaConf.from_dotlist([wrong]))
    with pytest.raises(ConfigKeyError):
        OmegaConf.merge(config, OmegaConf.from_dotlist(["cuont=3"]))
    first, second = (OmegaConf.structured(schema(Sample, "sample")) for _ in range(2))
    first.names.append("b")
    assert second.names == ["a"]
    assert Sample().names == ("a",)


def test_describe() -> None:
    rows = {row["name"]: row for row in describe(Sample)}
    assert list(rows) == [field.name for field in dataclasses.fields(Sample)]
    assert rows["mode"] == {
        "name": "mode",
        "type": "str",
        "default": "slow",
        "help": "a mode",
        "choices": ("slow", "fast"),
    }
    assert rows["limit"]["type"] == "int | None"
    assert rows["limit"]["default"] is None
    assert rows["names"]["type"] == "list[str]"
    assert rows["count"]["choices"] is None


@dataclass(frozen=True)
class Demanding(Options):
    """An option without default."""

    count: int = option(help="a count")


def test_describe_says_what_is_required() -> None:
    assert [row["default"] for row in describe(Demanding)] == ["required"]


def test_describe_shows_the_default_of_a_factory() -> None:
    assert {row["name"]: row["default"] for row in describe(Sample)}["names"] == ["a"]


def test_schema_with_a_required_option() -> None:
    config = OmegaConf.structured(schema(Demanding, "demanding"))
    assert OmegaConf.is_missing(config, "count")
