"""What is raised where the user's input or a signal ends a command, and the sentence for an unknown name."""

import difflib
from collections.abc import Iterable


class UserError(ValueError, RuntimeError):
    """What the user gave cannot be used. The message is one sentence or a few; the command line prints it and exits with 2.

    A RuntimeError as well, which is what torch's own modules raise for a shape that does not fit.
    """


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end. Like Ctrl-C, it passes through everything that handles errors."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def first_line(error: BaseException) -> str:
    """The first line of what a library says, for a sentence of ours: without a full stop, never empty."""
    return (str(error).strip() or type(error).__name__).partition("\n")[0].rstrip(".")


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """The one sentence for a name that does not exist: what was given, the nearest, all there is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"Unknown {kind} '{name}'.{hint} Available: {', '.join(names) or 'none'}."
