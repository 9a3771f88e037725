"""The picture of a cell: all equations and inputs are in it, no box lies on another, and every line begins and ends at a box."""

import itertools
import re
from xml.etree import ElementTree

from cells.variants import Variant, each_kind

from gatelab.cells import drawing, equations

SVG = "{http://www.w3.org/2000/svg}"


@each_kind
def test_a_picture(variant: Variant) -> None:
    cell = variant.cell()
    text = drawing(cell, "a cell & its title")
    assert text is not None
    root = ElementTree.fromstring(text)
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    boxes = [tuple(float(box.attrib[name]) for name in ("x", "y", "width", "height")) for box in root.iter(f"{SVG}rect")]
    words = [str(word.text) for word in root.iter(f"{SVG}text")]
    lines = equations(cell)
    assert len(boxes) == len(words) == len(lines) + len({name for line in lines for name in line.uses} - {of.name for of in lines})
    assert all(any(word.startswith(f"{line.name} = ") for word in words) for line in lines)
    for x, y, wide, high in boxes:
        assert x >= 0 and y >= 0 and x + wide <= width and y + high <= height
    for one, other in itertools.combinations(boxes, 2):
        apart = (
            one[0] + one[2] <= other[0]
            or other[0] + other[2] <= one[0]
            or one[1] + one[3] <= other[1]
            or other[1] + other[3] <= one[1]
        )
        assert apart, (one, other)
    _check_lines(root, boxes)


def _check_lines(root: ElementTree.Element, boxes: list[tuple[float, ...]]) -> None:
    """A line begins at the right edge of a box, or where another one ends; and no line crosses a box."""
    paths = [[float(number) for number in re.findall(r"-?[\d.]+", path.attrib["d"])] for path in root.iter(f"{SVG}path")]
    begins = {(round(x + wide), round(y + high / 2)) for x, y, wide, high in boxes}
    arrived = {(round(path[-1] if len(path) == 10 else path[7]), round(path[8])) for path in paths}
    for path in paths:
        start = (round(path[0]), round(path[1]))
        assert start in begins or any(round(start[1]) == y for _, y in arrived), path
        end_x, end_y = path[7], path[8]
        meets = any(abs(x - end_x) < 0.2 and abs(y + high / 2 - end_y) < 0.2 for x, y, _, high in boxes)
        free = all(not (y < end_y < y + high and x - 0.2 <= end_x <= x + wide) for x, y, wide, high in boxes)
        assert meets or free, path


def test_titles_are_escaped() -> None:
    text = drawing(Variant("lstm", {}).cell(), "<script>")
    assert text is not None
    assert "<script>" not in text
