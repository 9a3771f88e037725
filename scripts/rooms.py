"""Writes the rooms of gatelab and a picture of their imports into .github/ARCHITECTURE.md.

usage: python scripts/rooms.py [--check]    (--check: writes nothing; exit status 1 if the page is out of date)
"""

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / ".github" / "ARCHITECTURE.md"
MARKS = "<!-- scripts/rooms.py -->\n", "<!-- end -->"
HALLS = ("sweeps", "analysis")  # rooms that are drawn from the inside as well

Graph = dict[str, set[str]]


def rooms(folder: Path) -> list[Path]:
    """The packages and modules directly inside a package, without its own `__init__` and `__main__`."""
    packages = [path for path in folder.iterdir() if (path / "__init__.py").exists()]
    modules = [path for path in folder.glob("*.py") if not path.stem.startswith("__")]
    return sorted(packages + modules)


def imports(folder: Path) -> Graph:
    """Room -> rooms of the same package that one of its files imports, wherever in the file."""
    package = ".".join(folder.relative_to(ROOT).parts)
    names = {path.stem for path in rooms(folder)}
    graph: Graph = {}
    for room in rooms(folder):
        graph[room.stem] = set()
        for file in [room] if room.is_file() else sorted(room.rglob("*.py")):
            for module in _imported(ast.parse(file.read_text())):
                if module.startswith(f"{package}."):
                    graph[room.stem].add(module.removeprefix(f"{package}.").split(".")[0])
        graph[room.stem] &= names - {room.stem}
    return graph


def _imported(tree: ast.Module) -> list[str]:
    found = []
    checked = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    for node in checked:
        node.body.clear()  # what only a type checker reads
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def reduced(graph: Graph) -> Graph:
    """Without the arrows that follow from others: what a room imports through another room is not drawn again."""
    below: defaultdict[str, set[str]] = defaultdict(set)

    def reach(room: str) -> set[str]:
        if room not in below:
            below[room] = set()  # ends the search in a cycle
            below[room] = graph[room].union(*(reach(other) for other in graph[room]))
        return below[room]

    return {room: {low for low in lows if not any(low in reach(other) for other in lows - {low})} for room, lows in graph.items()}


def picture(graph: Graph) -> str:
    """The graph in the language of Mermaid, which GitHub draws."""
    arrows = [f"  {room} --> {' & '.join(sorted(lows))}" for room, lows in sorted(reduced(graph).items()) if lows]
    linked = {room for room, lows in graph.items() if lows}.union(*graph.values())
    return "\n".join(["```mermaid", "graph TD", *arrows, *(f"  {room}" for room in sorted(set(graph) - linked)), "```"])


def described(folder: Path) -> str:
    """A table with a row for each room: its name, and the first line of its docstring."""
    lines = ["| room | |", "|---|---|"]
    for room in rooms(folder):
        text = ast.get_docstring(ast.parse((room if room.is_file() else room / "__init__.py").read_text()))
        if not text:
            raise SystemExit(f"{room.relative_to(ROOT)} has no docstring: its first line says what the room is for.")
        name = room.name if room.is_file() else f"{room.name}/"
        lines.append(f"| `{name}` | {text.splitlines()[0]} |")
    return "\n".join(lines)


def page() -> str:
    """What stands between the marks."""
    top = ROOT / "gatelab"
    parts = [described(top), picture(imports(top))]
    for hall in HALLS:
        parts += [
            f"Inside `{hall}/`:",
            described(top / hall),
            picture(imports(top / hall)),
        ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    text = PAGE.read_text()
    start, end = map(re.escape, MARKS)
    written = re.sub(f"{start}.*?{end}", lambda _: MARKS[0] + page() + MARKS[1], text, flags=re.DOTALL)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(written)
    elif written != text:
        sys.exit(f"The rooms in {PAGE.relative_to(ROOT)} are not those of the code: run python scripts/rooms.py.")


if __name__ == "__main__":
    main()
