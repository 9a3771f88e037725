"""A picture of a cell: its equations as boxes, and what each reads as lines; an SVG, made from `step`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from gatelab.cells._cell import Cell
from gatelab.cells._written import Equation, equations

# Sizes in pixels.
LETTER = 7.3  # of a monospaced letter of 12 pixels
HEIGHT, GAP, LANE, MARGIN = 30, 18, 64, 24
MOST_LETTERS = 64  # of an equation in its box

STYLE = """
  text { font: 12px ui-monospace, Menlo, Consolas, monospace; fill: currentColor; dominant-baseline: central; }
  rect { fill: none; stroke: currentColor; stroke-width: 1.2; rx: 5; }
  .input { stroke-dasharray: 4 3; }
  .state { stroke-width: 2.4; }
  path { fill: none; stroke: currentColor; stroke-opacity: .45; stroke-width: 1.2; }
  path:hover { stroke-opacity: 1; stroke-width: 2; }
  svg { color: #1f2430; background: #ffffff; }
  @media (prefers-color-scheme: dark) { svg { color: #e6e6e6; background: #16181d; } }
"""


@dataclass
class _Box:
    """One box: its text, its class in the style, its column, and its place.

    A box without a text keeps a place free for the line of a value that is read further right.
    """

    name: str
    text: str
    kind: str
    column: int
    uses: tuple[str, ...]
    x: float = 0.0
    y: float = 0.0

    @property
    def width(self) -> float:
        return LETTER * len(self.text) + 16 if self.text else 0.0


def drawing(cell: Cell, title: str) -> str | None:
    """An SVG of one time step, from the input and the state before it (left) to the new state (right).

    Args:
        cell: the equations.
        title: for readers of the picture that do not see it.

    Returns:
        The text of the file; None if the equations cannot be written (`equations`).
    """
    lines = equations(cell)
    if not lines:
        return None
    boxes = _boxes(cell, lines)
    columns = _placed(boxes)
    width = max(box.x + box.width for box in boxes.values()) + MARGIN
    height = MARGIN * 2 + max(len(column) for column in columns) * (HEIGHT + GAP) - GAP
    ends = [max(box.x + box.width for box in column) for column in columns]
    shapes = [_line(boxes[name], box, ends) for box in boxes.values() for name in box.uses]
    shapes += [_drawn(box) for box in boxes.values() if box.text]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    )
    return "\n".join([f'{head} role="img">', f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>", *shapes, "</svg>", ""])


def _boxes(cell: Cell, lines: Sequence[Equation]) -> dict[str, _Box]:
    """Inputs and equations by name; an equation stands one column behind the last thing that it reads."""
    given = dict.fromkeys(name for line in lines for name in line.uses)
    computed = {line.name for line in lines}
    boxes = {name: _Box(name, name, "input", 0, ()) for name in given if name not in computed}
    for line in lines:
        text = str(line) if len(str(line)) <= MOST_LETTERS else str(line)[: MOST_LETTERS - 3] + "..."
        column = 1 + max((boxes[name].column for name in line.uses), default=0)
        uses = tuple(_passed(boxes, name, column) for name in line.uses)
        boxes[line.name] = _Box(line.name, text, "state" if line.name in cell.state else "value", column, uses)
    return boxes


def _passed(boxes: dict[str, _Box], name: str, column: int) -> str:
    """The box from which a line reaches a column: that of the value, or a free place for it in the column before."""
    for between in range(boxes[name].column + 1, column):
        place = f"{name} in column {between}"
        if place not in boxes:
            boxes[place] = _Box(place, "", "place", between, (name,))
        name = place
    return name


def _placed(boxes: Mapping[str, _Box]) -> list[list[_Box]]:
    """Gives every box its place: columns from left to right, in each the order of what the boxes read, all centred."""
    columns: list[list[_Box]] = [[] for _ in range(1 + max(box.column for box in boxes.values()))]
    for box in boxes.values():
        columns[box.column].append(box)
    tallest = max(map(len, columns))
    x = float(MARGIN)
    for number, column in enumerate(columns):
        if number:
            column.sort(key=lambda box: sum(boxes[name].y for name in box.uses) / max(1, len(box.uses)))
        top = MARGIN + (tallest - len(column)) * (HEIGHT + GAP) / 2
        for place, box in enumerate(column):
            box.x, box.y = x, top + place * (HEIGHT + GAP)
        x += max(box.width for box in column) + LANE
    return columns


def _line(source: _Box, target: _Box, ends: Sequence[float]) -> str:
    """A curve from the right edge of a box, or the end of its column, to the left edge of another."""
    x1, x2 = source.x + source.width, target.x
    y1, y2 = source.y + HEIGHT / 2, target.y + HEIGHT / 2
    end = ends[source.column]
    bend = (x2 - end) / 2
    through = f" H{ends[target.column]:.1f}" if not target.text else ""
    return (
        f'<path d="M{x1:.1f} {y1:.1f} H{end:.1f} C{end + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}{through}"/>'
    )


def _drawn(box: _Box) -> str:
    rectangle = f'<rect class="{box.kind}" x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{HEIGHT}"/>'
    return f'{rectangle}<text x="{box.x + 8:.1f}" y="{box.y + HEIGHT / 2:.1f}">{escape(box.text)}</text>'
