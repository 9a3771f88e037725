"""No two modules of gatelab import each other, neither at import nor, within one room, later in a function."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import gatelab

ROOT = Path(gatelab.__file__).parent
Graph = dict[str, set[str]]


def modules() -> dict[str, Path]:
    """Every module of gatelab by its name; what Hydra scans has another one."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = ("gatelab", *path.relative_to(ROOT).with_suffix("").parts)
        if "hydra_plugins" not in parts:
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(tree: ast.AST, known: Mapping[str, object], inside: bool = False) -> Iterator[tuple[str, bool]]:
    """The modules that a module imports, and whether only in a function; not those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, inside) for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if (name := whole if whole in known else str(node.module)) in known:
                    yield name, inside
        else:
            yield from imported(node, known, inside or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def graph(found: Mapping[str, Path]) -> Graph:
    """Who imports whom; in a function, where both are of one room (`gatelab.sweeps`): between rooms the linter looks."""
    edges: Graph = {}
    for name, path in found.items():
        for other, later in imported(ast.parse(path.read_text()), found):
            if other != name and (not later or other.split(".")[:2] == name.split(".")[:2]):
                edges.setdefault(name, set()).add(other)
    return edges


def cycle(edges: Graph) -> list[str]:
    """Modules that import each other in a circle; empty if there are none."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for other in sorted(edges.get(name, ())):
            if found := walk(other, [*way, name]):
                return found
        done.add(name)
        return []

    return next(filter(None, (walk(name, []) for name in sorted(edges))), [])


def test_a_circle_is_found(tmp_path: Path):
    texts = {
        "p.q": "from p.q import a",
        "p.q.a": "def f():\n    from p.q import b\n    import p.r",
        "p.q.b": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import p.q.c\nfrom p.q.a import f",
        "p.q.c": "import p.q.b",
        "p.r": "import p.q.c",
    }
    files = {}
    for name, text in texts.items():
        files[name] = tmp_path / f"{name}.py"
        files[name].write_text(text)
    assert graph(files) == {"p.q": {"p.q.a"}, "p.q.a": {"p.q.b"}, "p.q.b": {"p.q.a"}, "p.q.c": {"p.q.b"}, "p.r": {"p.q.c"}}
    assert cycle(graph(files)) == ["p.q.a", "p.q.b", "p.q.a"]
    files["p.q.a"].write_text("")
    assert cycle(graph(files)) == []


def test_modules_import_nothing_that_imports_them():
    edges = graph(modules())
    assert len(edges) > 150
    assert not cycle(edges), " -> ".join(cycle(edges))


def test_one_module_uses_what_is_private_to_hydra():
    users = [path.name for path in ROOT.rglob("*.py") if "hydra._internal" in path.read_text()]
    assert users == ["hydra_internals.py"]
