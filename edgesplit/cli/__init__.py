"""The command line: thin verbs that load, call and report; `main` is where errors are caught."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with the exit code of what happened."""
    from edgesplit.cli.app import app
    from edgesplit.errors import EdgesplitError

    try:
        app()
    except EdgesplitError as error:
        from edgesplit.report.failure import show_error

        show_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
