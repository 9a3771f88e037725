"""The facts of a description of a cell or a task, in words."""

from typing import Any

MATCHED = {"parameters": "parameters", "flops": "FLOPs"}


def cell_rows(cell: dict[str, Any]) -> list[tuple[str, str]]:
    """What a cell computes, holds and costs, each with its name."""
    example = cell["example"]
    at = f"D={example['D']}, H={example['H']}"
    tape = f", tape of {example['tape']} steps" if "tape" in example else ""
    rows = [
        *(("" if number else "step", f"{line['name']} = {line['text']}") for number, line in enumerate(cell["equations"])),
        ("pre-activations", ", ".join(f"{letter} ({word})" for letter, word in cell["gates"].items())),
        ("state", f"{', '.join(cell['state'])}; fed back: {', '.join(cell['fed_back']) or 'nothing'}"),
        ("parameters", f"{cell['parameters']} a layer and direction"),
        (f"at {at}", ", ".join(f"{name} {tuple(shape)}" for name, shape in cell["shapes"].items())),
        ("FLOPs a step", f"{cell['flops_per_step']:,} forward at {at}{tape}"),
        ("pointwise part", f"{cell['pointwise_operators']} operators a unit"),
    ]
    match = cell["matched"]
    sizes = (f"H={match[what]['hidden_size']} in {name} ({100 * match[what]['off']:+.1f}%)" for what, name in MATCHED.items())
    rows.append((f"as large as {match['reference']}", f"at H={example['H']}: {', '.join(sizes)}"))
    if cell["delay"]:
        rows.append(("delays", ", ".join(f"back to {name}(t-{steps})" for name, steps in cell["delay"].items())))
    if cell["constraint"]:
        rows.append(("constraints", "; ".join(f"{name} is {one['text']}" for name, one in cell["constraint"].items())))
    if cell["fixed"]:
        rows.append(("not learned", "; ".join(f"{name}: {start['text']}" for name, start in cell["fixed"].items())))
    if cell["initial"]:
        rows.append(("initial values", "; ".join(f"{name}: {start['text']}" for name, start in cell["initial"].items())))
    starts = [f"{name} = {value:g}" for name, value in cell["initial_bias"].items() if value]
    starts += [name.replace("b.", "", 1) + " as above" for name in cell["initial"] if name.startswith("b.")]
    rows.append(("initial biases", f"{', '.join(starts)}, others 0" if starts else "0"))
    return rows


def latex(cell: dict[str, Any]) -> str:
    """The equations of a cell as an environment of the package amsmath."""
    lines = (f"    {line['symbol']} &= {line['latex']}" for line in cell["equations"])
    return "\n".join([f"% {cell['name']}", r"\begin{align*}", " \\\\\n".join(lines), r"\end{align*}"])


_SHAPES = {"single": "scatter around one value", "any": "may lie in two clusters, solved and not solved"}


def task_rows(task: dict[str, Any]) -> list[tuple[str, str]]:
    """How a task is scored, each fact with its name."""
    chance = f"needs its data: {task['chance_problem']}" if task["chance"] is None else f"{task['chance']:.5g}"
    better = "higher" if task["higher_is_better"] else "lower"
    waits = [("plateau", f"up to {task['plateau']:,} steps at chance, in which neither patience nor a pruner ends a run")]
    return [
        ("score", f"{task['metric']}, {better} is better, compared on a {task['scale']} scale"),
        ("scores of seeds", _SHAPES[task["shape"]]),
        ("chance", f"{chance}: {task['chance_derivation']}"),
        ("solved", f"{task['solved']:.5g}: {task['solved_derivation']}"),
        *(waits if task["plateau"] else []),
    ]


def flowing(docstring: str) -> str:
    """A docstring with a line for each paragraph, which a terminal breaks where it ends; code and what is indented stay."""
    lines: list[str] = []
    code = follows = False
    for line in docstring.split("\n"):
        fence = line.startswith("```")
        prose = bool(line) and not (code or fence or line[0].isspace())
        if prose and follows:
            lines[-1] += f" {line}"
        else:
            lines.append(line)
        code, follows = code ^ fence, prose
    return "\n".join(lines)
