"""Commands from signatures: every parameter is described, and what it accepts follows from its type."""

import contextlib
import inspect
import json
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from gatelab.cli.commands import COMMANDS
from gatelab.cli.main import main
from gatelab.errors import UserError
from gatelab.options.signature import Argument, Parser, parameters, summary, texts


def example(
    words: Annotated[tuple[str, ...], Argument("what is meant", "WORD")],
    *,
    form: Literal["long", "short"] = "long",
    count: Annotated[int | None, Argument(minimum=1, maximum=5)] = None,
    ratio: float = 0.5,
    into: Annotated[Path, Argument(metavar="DIR", short="-o")] = Path("here"),
    all_of: bool = False,
) -> int:
    """Does what an example does: gatelab example a b.

    More about it.

    Args:
        form: how it is done, which
            takes two lines.
        count: how often; default: once
        ratio: 100% is 1
        into: the folder
        all_of: without exception
    """
    return len(words) if form == "long" and count is None and ratio and into and not all_of else -1


PARSER = Parser("example", example)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_parameter_has_a_description_and_a_type(name: str) -> None:
    function = COMMANDS[name]
    assert summary(function)
    hints = typing.get_type_hints(function)
    assert hints["return"] is int
    found = parameters(function)
    assert [item.name for item in found] == list(inspect.signature(function).parameters)
    for item in found:
        assert item.name in hints
        assert len(item.help) > 5, f"{name}: {item.name}"
        assert item.choices or item.kind in (str, int, float, bool, Path), f"{name}: {item.name}"
    assert texts(inspect.getdoc(function) or "").keys() <= {item.name for item in found}  # nothing else is described


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_80_columns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):  # of argparse; `train` has a page of its own
        main([name, "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 3
    assert max(map(len, lines)) <= 80


def test_values_have_the_types_of_the_signature() -> None:
    assert PARSER.values(["a", "--count", "3", "b", "--ratio", "2", "--form", "short", "-o", "there", "--all-of"]) == {
        "words": ("a", "b"),
        "form": "short",
        "count": 3,
        "ratio": 2.0,
        "into": Path("there"),
        "all_of": True,
    }
    assert example(**PARSER.values(["a"])) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "example: the following arguments are required: WORD. See `gatelab example --help`."),
        (["a", "--form", "middle"], "invalid choice: 'middle' (choose from"),
        (["a", "--count", "9"], "example: --count is 9, but it must be at most 5."),
        (["a", "--count", "1.5"], "--count is '1.5', but it must be a whole number"),
        (["a", "--ratio", "x"], "--ratio is 'x', but it must be a number"),
        (["a", "--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_what_does_not_fit_is_one_message(words: list[str], message: str) -> None:
    with pytest.raises(UserError) as refused:
        PARSER.values(words)
    assert message in str(refused.value)


def test_help_is_made_of_the_docstring() -> None:
    page = " ".join(PARSER.format_help().split())
    for text in (
        "does what an example does: gatelab example a b",
        "WORD what is meant",
        "how it is done, which takes two lines; default: long",
        "how often; default: once",
        "100% is 1; default: 0.5",
        "-o DIR, --into DIR the folder; default: here",
        "--all-of without exception",
    ):
        assert text in page


# One call of every command that prints data, and what its answer holds.
ANSWERS: dict[str, tuple[list[str], Any]] = {
    "list": (["cells"], lambda found: {"lstm", "gru"} <= {one["name"] for one in found}),
    "explain": (["lstm", "adding"], lambda found: [one["kind"] for one in found] == ["cell", "task"]),
    "diff": (["lstm", "cifg"], lambda found: [one["name"] for one in found["changed"]] == ["i"]),
    "doctor": ([], lambda found: "GPU" in {one["what"] for one in found}),
    "kernels": (["list"], lambda found: isinstance(found["files"], list)),
    "reproduce": (["--list"], lambda found: {"paper", "scale", "runs"} <= found[0].keys()),
    "status": ([], lambda found: found["counts"] == {"done": 1}),
    "compare": ([], lambda found: found["rows"][0]["cell"] == "rnn"),
    "importance": (["--metric", "test mse"], None),
    "calibrate": (
        ["--part", "power", "--repetitions", "20", "--jobs", "1"],
        lambda found: found["repetitions"] == 20 and found["cells"],
    ),
    "check": (["lstm"], lambda found: found[0]["keeps"] is True),
    "inspect": (["runs", "--sequences", "4"], lambda found: found[0]["scalars"]),
    "bench": (["rnn", "--shapes", "2x2x2x2", "--repeats", "1"], lambda found: found["rows"][0]["cell"] == "rnn"),
    "wandb": (["workspace", "project"], lambda found: found),
}
SAYS_WHERE = {"train", "resume", "report", "dashboard", "plot", "completion"}  # a file, an address or a script


def test_every_command_that_prints_data_takes_the_format_json() -> None:
    takes = {name for name, function in COMMANDS.items() if "format" in inspect.signature(function).parameters}
    assert takes == COMMANDS.keys() - SAYS_WHERE == ANSWERS.keys()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run."""
    folder = tmp_path_factory.mktemp("trained")
    words = ["cell=rnn", "logger=none", "trainer.max_steps=2", "task.length=5", "model.hidden_size=2", "machine.progress=false"]
    assert main(["train", *words, "trainer.val_every=1", f"out={folder}/runs"]) == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ANSWERS)
def test_its_answer_is_json(name: str, trained: Path, gatelab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    words, holds = ANSWERS[name]
    if name == "wandb":
        pytest.importorskip("wandb_workspaces", reason="pip install 'gatelab[workspaces]'")
    status, out, err = gatelab(name, *words, "--format", "json")
    if holds is None:  # there is nothing to tell of a single run
        assert (status, out) == (2, "")
        return
    assert status == 0, err
    assert holds(json.loads(out, parse_constant=lambda text: pytest.fail(f"{text} is not JSON")))


@pytest.mark.slow
def test_a_broken_cell_is_an_entry_of_the_answer(gatelab: Any, plugin: Path) -> None:
    plugin.write_text(plugin.read_text().replace('{"h": f', '{"y": f'))
    status, out, _ = gatelab("check", str(plugin), "rnn", "--format", "json")
    assert status == 2
    assert [one["keeps"] for one in json.loads(out)] == [False, True]
