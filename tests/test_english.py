"""scripts/english.py: what it finds in which files, and what it leaves alone."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def check(*paths: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "scripts/english.py", *map(str, paths)], cwd=ROOT, capture_output=True, text=True)


def test_nothing_that_is_shown_needs_to_be_rewritten():
    done = check()
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The run goes on.", "continue"),
        ("It is begun anew.", "again"),
        ("Nobody reads it.", "the passive"),
        ("'x' is no option.", "is not a"),
        ("Of the rows as many as fit.", "a subject and a verb"),
        ("Rows. Of those the first.", "a subject and a verb"),
        ("There is no such file.", "does not exist"),
    ],
)
def test_a_word_that_is_found_comes_with_the_plain_one(tmp_path: Path, text: str, plain: str):
    files = {
        "page.md": text,
        "module.py": f'"""{text}"""\n',
        "comment.py": f"a = 1  # {text}\n",
        "options.yaml": f"a: 1  # {text}\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
        done = check(tmp_path / name)
        assert done.returncode == 1
        assert plain in done.stdout


def test_plain_english_and_code_are_left_alone(tmp_path: Path):
    page = "There is no run here, and it is no longer one. The list of rows goes here.\n\n```bash\ngatelab go on\n```\n"
    (tmp_path / "page.md").write_text(page)
    (tmp_path / "module.py").write_text("goes_on = anew = None  # names are not read\n")
    assert check(tmp_path).returncode == 0
