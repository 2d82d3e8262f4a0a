"""What the commands for operators share: which worker is meant, and how asking it may fail.

Its one rule: whatever keeps a worker from answering is a sentence on standard error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from catena.cli.ending import FAILED, USAGE, CommandEnded
from catena.errors import CatenaError
from catena.link.channels import Destination
from catena.security.credentials import Credentials
from catena.targets import is_local, split_port, unix_target

T = TypeVar("T")

_OPTIONS = (
    click.argument("target", metavar="TARGET"),
    click.option("--certs", metavar="FOLDER", help="Your credentials, which HOST:PORT needs."),
    click.option(
        "--name",
        default="",
        metavar="NAME",
        help="The DNS name that the worker has to prove, such as w1.shop.catena.",
    ),
    click.option("--insecure", is_flag=True, help="Ask at HOST:PORT without certificates."),
)


def takes_worker(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument and the options that say which worker is meant."""
    for add in reversed(_OPTIONS):
        command = add(command)
    return command


def ask_worker(
    command: str,
    work: Callable[[Destination], Coroutine[Any, Any, T]],
    target: str,
    **how: Any,
) -> T:
    """Return what came of asking a worker; end the command where it cannot be asked."""
    try:
        worker = _find_destination(target, **how)
    except ValueError as wrong:
        raise CommandEnded(command, str(wrong), USAGE) from None
    try:
        return asyncio.run(work(worker))
    except (CatenaError, OSError) as error:
        raise CommandEnded(command, f"{target}: {error}", FAILED) from None


def _find_destination(target: str, *, certs: str | None, name: str, insecure: bool) -> Destination:
    """Return the worker that is meant. Raises ValueError."""
    if is_local(target):
        path = Path(target.removeprefix("unix:"))
        return Destination(unix_target(path.absolute()))
    split_port(target)
    if certs is None and not insecure:
        raise ValueError("HOST:PORT needs --certs FOLDER and --name NAME, or --insecure")
    if certs is not None and not name:
        raise ValueError("--certs needs --name NAME, the name that the worker has to prove")
    credentials = None if certs is None else Credentials(certs)
    return Destination(target, credentials, name, insecure=insecure)
