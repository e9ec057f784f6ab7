"""How logs read: each line behind its device's name; lines go to stdout, what failed to stderr."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from edgesplit.operate.logs import Event, Line
from edgesplit.report.console import write_json_line
from edgesplit.report.failure import show_error

_COLOURS = (
    "cyan",
    "green",
    "yellow",
    "magenta",
    "blue",
    "bright_red",
    "bright_cyan",
    "bright_green",
)


class LogView:
    """Prints lines as they come, every device in a colour of its own where there are colours."""

    def __init__(self, devices: Sequence[str]) -> None:
        # Lines are what was asked for, so that they can be piped; stderr is for words about them.
        self._console = Console(highlight=False, soft_wrap=True)
        self._width = max(map(len, devices), default=0)
        self._colours = {
            name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(devices)
        }

    def show(self, event: Event) -> None:
        """Print one line, or why a device has no more."""
        if not isinstance(event, Line):
            show_error(event.error)
            return
        prefix = Text(event.device.ljust(self._width), self._colours[event.device])
        self._console.print(Text.assemble(prefix, " | ", _printable(event.text)))


def show_log_json(event: Event) -> None:
    """Write one line, or why a device has no more, as a JSON document on a line of its own."""
    if isinstance(event, Line):
        write_json_line({"device": event.device, "line": event.text})
    else:
        write_json_line({"device": event.device, "error": event.error.what})


def _printable(text: str) -> str:
    """Return the text without what would steer a terminal: a log may hold anything."""
    return "".join(
        one if one.isprintable() or one == "\t" else "\N{REPLACEMENT CHARACTER}" for one in text
    )
