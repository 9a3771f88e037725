"""The console that commands draw tables and progress on."""

from collections.abc import Iterable
from typing import Any

import rich.console
from rich.segment import Segment
from rich.text import Text

from gatelab.process.output import visible


class Console(rich.console.Console):
    """Rich's console, for text from outside: "[red]" and ":smile:" in a string stay what they are, and see `visible`.

    What shall have a style is given one (`style=`, `rich.text.Text`). Only Rich's own control codes reach the terminal.

    Args:
        options: as of Rich's.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """A string as text, which is measured as it is shown."""
        return super().render_str(visible(text), **options)

    def render(
        self, renderable: rich.console.RenderableType, options: rich.console.ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The segments that something is drawn with; all text passes here, however deep it is nested."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else visible(segment.text)
            yield segment if text == segment.text else Segment(text, segment.style)
