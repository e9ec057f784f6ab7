"""The command line: thin verbs that load, call and report; `main` is where errors are caught."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with the exit code of what happened."""
    from edgesplit.cli.interrupt import Interruption

    interruption = Interruption()
    from edgesplit.cli.app import app
    from edgesplit.errors import EdgesplitError, StorageError

    try:
        app(prog_name="edgesplit")
    except ImportError:
        # A compiled module that is interrupted while it is imported says this instead.
        if interruption.code is None:
            raise
        sys.exit(interruption.code)
    except (EdgesplitError, OSError) as failure:
        from edgesplit.report.failure import show_error

        error = failure if isinstance(failure, EdgesplitError) else StorageError.of(failure)
        show_error(error)
        sys.exit(error.exit_code)
