"""Finds words in what users and developers read that plain technical English does not use, and names the plain ones.

usage: python scripts/english.py [PATH ...]    (default: everything but what NOT_YET lists; exit status 1 if something is found)

It reads strings, docstrings and comments of Python files, and the text of .md, .yaml and .yml files. The patterns are few and
sharp: rewrite what they find.
"""

import ast
import io
import os
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
READ = ("gatelab", "conf", "docs", "experiments", ".github", "README.md", "CHANGELOG.md")
# Not rewritten yet. A path leaves the list when it is clean; none comes in.
NOT_YET: tuple[str, ...] = ()
PLAIN = {
    r"go(?:es|ing|ne)? on|went on": "continue, resume",
    r"anew": "again",
    r"nobody|somebody|whoever": "no user, a user, the process that ...; or the passive",
    # "There is no X" is plain where X follows, and so is "no longer".
    r"(?<!there )(?:is|are) no (?!longer|more|less|such)[a-z]+": "is not a ...",
    r"(?:it is|is) said(?: which| so)?|is told|are told": "the message names ...; reports",
    r"as it comes": "unchanged, by default",
    r"passed over": "skipped",
    r"so many (?:steps|runs|seeds)|that many": "the number",
    r"is of an? (?:earlier|older|other)": "was written by ..., belongs to ...",
    r"for want of": "because ... is missing",
    r"is too much": "name the accepted arguments",
    r"there (?:is|are) no such": "... does not exist",
    r"there (?:is|are) no(?: [a-z]+|ne) any ?more": "... is gone, no longer exists",
    r"where there (?:is|are) none": "without one",
}
_BEGINNING = r"(?:^|(?<=[.!?:#] ))Of [a-z]+"  # of a sentence, which then seldom has a verb
PATTERN = re.compile("|".join([rf"(?i:\b(?:{'|'.join(PLAIN)})\b)", _BEGINNING]))


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of everything in a file that is read as English."""
    content = path.read_text()
    if path.suffix != ".py":
        code = False
        for number, line in enumerate(content.splitlines(), 1):
            code ^= line.startswith("```")
            if not code or line.lstrip().startswith("#") or "  # " in line:
                yield number, line
        return
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            for offset, line in enumerate(node.value.splitlines()):
                yield node.lineno + offset, line.strip()


def advice(word: str) -> str:
    """The plain words for what was found."""
    for pattern, plain in PLAIN.items():
        if re.search(rf"\b(?:{pattern})\b", f"x {word}", re.IGNORECASE):
            return plain
    return "a sentence with a subject and a verb"


def files(paths: list[str]) -> Iterator[Path]:
    """The files to read."""
    skipped = () if paths else tuple(ROOT / path for path in NOT_YET)
    for name in paths or READ:
        path = ROOT / name
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            ours = file.suffix in (".py", ".md", ".yaml", ".yml") and "vendor" not in file.parts
            if ours and not any(file.is_relative_to(skip) for skip in skipped):
                yield file


def main() -> None:
    found = 0
    for file in files(sys.argv[1:]):
        for line, text in texts(file):
            for match in PATTERN.finditer(text):
                found += 1
                print(f"{os.path.relpath(file, ROOT)}:{line}: '{match[0]}': {advice(match[0])}\n    {text.strip()}")
    if found:
        sys.exit(f"{found} places are not in plain English.")


if __name__ == "__main__":
    main()
