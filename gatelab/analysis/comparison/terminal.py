"""A comparison in the terminal, whatever its width."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from gatelab.analysis.comparison.conclusions import conclusions
from gatelab.analysis.comparison.fairness import fairness_notes
from gatelab.analysis.comparison.introductions import introductions, shortened
from gatelab.analysis.comparison.numbers import NOTHING
from gatelab.analysis.comparison.row import Row
from gatelab.analysis.comparison.sections import Section, caption, overall_section, sections
from gatelab.analysis.reading.series import Curve
from gatelab.process.console import Console
from gatelab.runs import Skipped


def print_table(rows: Iterable[Row], console: Console, baseline: str | None = None, curves: Sequence[Curve] | None = None) -> None:
    """Prints for each task a table with the best mean in bold and what it shows in words, and the caption.

    Args:
        rows: of a comparison.
        console: where to.
        baseline: what the rows were compared with.
        curves: of the validation score, one for each row, for sparklines.
    """
    rows = list(rows)
    if not rows:
        console.print("There are no runs to compare.")
        return
    for section, conclusion in zip(sections(rows, curves), conclusions(rows, baseline), strict=True):
        _print_section(section, console)
        for note in section.notes:
            console.print(Text(note), style="dim")
        if baseline is not None and conclusion.sentences:
            console.print(Text(" ".join(conclusion.sentences)))
        console.print()
    together = overall_section(rows, baseline)
    if together is not None:
        _print_section(together, console)
        for note in together.notes:
            console.print(Text(note), style="dim")
        console.print()
    console.print(Text(caption(rows, baseline)), style="dim")
    if baseline is None and len(rows) > 1:
        console.print("Differences are tested against the cell given by --baseline.", style="dim", highlight=False)


def print_brief(rows: Iterable[Row], console: Console, baseline: str | None = None) -> None:
    """Prints what fits on a screen: half a sentence on each cell, and for each task the first columns and what they show.

    Args:
        rows, console, baseline: as for `print_table`.
    """
    rows = list(rows)
    if not rows:
        console.print("There are no runs to compare.")
        return
    introduced = introductions(rows)
    named = max(map(cell_len, introduced), default=0)
    for cell, words in introduced.items():
        console.print(Text.assemble((cell.ljust(named), "bold"), f"  {shortened(words, console.width - named - 2)}"))
    problems = [list(members) for _, members in itertools.groupby(rows, key=lambda row: row.problem)]
    for section, conclusion in zip(sections(rows), conclusions(rows, baseline), strict=True):
        console.print()
        _print_section(section, console, tables=1)
        if conclusion.brief:
            console.print(Text(" ".join(conclusion.brief)))
    alike = not any(map(fairness_notes, problems))
    console.print(
        Text(f"{'' if alike else 'Sizes or tuning differ. '}All columns, notes and what they mean: without --brief."), style="dim"
    )


def _print_section(section: Section, console: Console, tables: int | None = None) -> None:
    """Prints a section; of one that is too wide only so many tables, if that is given."""
    console.print(Text.assemble((section.title, "bold"), f"  {section.subtitle}"))
    for table in itertools.islice(_tables(section, console.width), tables):
        console.print(table, crop=False)


def print_skipped(skipped: Iterable[Skipped], console: Console) -> None:
    """Prints what could not be read, one line each."""
    for item in skipped:
        console.print(Text(f"Skipped {item.path}: {item.reason}."), soft_wrap=True)


def _tables(section: Section, width: int) -> Iterator[Table]:
    """The section as one table, or where it is too wide as several, each of which names the rows again.

    Rich would cut numbers short to make them fit, and a digit less is another number.
    """
    texts = [[_text(section, column, row) for row in range(len(section.cells))] for column in range(len(section.columns))]
    widths = [
        max(cell_len(line) for text in (Text(heading), *cells) for line in text.plain.split("\n"))
        for heading, cells in zip(section.columns, texts, strict=True)
    ]
    # A gap of two is easier to read, and a table less easier still.
    wide, narrow = (_packed(widths, section.text_columns, gap, width) for gap in (2, 1))
    parts, gap = (wide, 2) if len(wide) <= len(narrow) else (narrow, 1)
    for columns in parts:
        yield _table(section, texts, columns, gap)


def _packed(widths: list[int], names: int, gap: int, width: int) -> list[list[int]]:
    """The columns of each table: as many as there is room for behind the first ones, which name the rows."""
    parts: list[list[int]] = []
    room = 0
    for column in range(names, len(widths)):
        if not parts or widths[column] > room:
            parts.append([*range(names)])
            room = width - sum(widths[:names]) - gap * names
        parts[-1].append(column)
        room -= widths[column] + gap
    return parts


def _text(section: Section, column: int, row: int) -> Text:
    """A cell; several options stand below each other."""
    heading, text = section.columns[column], Text(section.cells[row][column])
    if heading == "options":
        return Text("\n".join(section.options[row].written) or NOTHING)
    if heading == section.judged and section.better[row] is not None:
        text.stylize("green" if section.better[row] else "red")
    return text


def _table(section: Section, texts: list[list[Text]], columns: list[int], gap: int) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, gap, 0, 0))
    for column in columns:
        left = column < section.text_columns or section.columns[column].startswith("val ")
        table.add_column(Text(section.columns[column]), justify="left" if left else "right", no_wrap=True)
    for row, best in enumerate(section.best):
        table.add_row(*(texts[column][row] for column in columns), style="bold" if best else None)
    widths = (
        max(cell_len(line) for text in (Text(section.columns[column]), *texts[column]) for line in text.plain.split("\n"))
        for column in columns
    )
    table.width = sum(widths) + gap * (len(columns) - 1)
    return table
