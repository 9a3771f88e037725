"""The console that commands draw tables and progress on."""

from collections.abc import Iterable
from typing import Any

import rich.console
from rich.segment import Segment
from rich.text import Text

from gatelab.process.output import visible


class Console(rich.console.Console):
    """Rich's console, for text from outside: "[red]" and ":smile:" are printed as such, control characters by `visible`.

    Styles are set explicitly (`style=`, `rich.text.Text`). Only Rich's own control codes reach the terminal.

    Args:
        options: the arguments of Rich's console.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """A string as text, measured as it is shown."""
        return super().render_str(visible(text), **options)

    def render(
        self, renderable: rich.console.RenderableType, options: rich.console.ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The segments of a renderable; all text passes through here, however deeply nested."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else visible(segment.text)
            yield segment if text == segment.text else Segment(text, segment.style)
