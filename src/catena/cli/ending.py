"""What a command says on standard error, and how it ends.

Its one rule: every such line begins with the name of the command.
"""

from __future__ import annotations

import click

FAILED, USAGE, INTERRUPTED = 1, 2, 130
"""Exit codes."""


class CommandEnded(Exception):
    """Ends a command with an exit code; each line of ``text`` says why."""

    def __init__(self, command: str, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.command, self.text, self.exit_code = command, text, exit_code

    def report(self) -> None:
        """Write the lines to standard error."""
        for line in self.text.splitlines():
            report_line(self.command, line)


def report_line(command: str, text: str) -> None:
    """Write one line to standard error that names the command."""
    click.echo(f"catena {command}: {text}", err=True)
