"""``catena certs``: an authority for development, the pairs that it issues, and a look at a pair.

Its one rule: whatever is wrong with a file is a sentence on standard error, and no key is shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catena.cli.ending import FAILED, USAGE, CommandEnded, report_line
from catena.escape import printable
from catena.security.files import Unusable
from catena.security.names import Holder, check_label, check_spiffe, name_caller, name_worker

if TYPE_CHECKING:
    from catena.security.inspection import Inspection

_AUTHORITY = "authority"
"""The folder in DIR that an authority has for itself."""

_SCHEMA = 1

_EPILOG = """\
A credentials folder has three files: ca.pem with the authorities that peers are checked against,
cert.pem and key.pem. The key of the authority lies in a file as well, so that this one is for
development; elsewhere a real authority issues the pairs.

\b
Exit codes:
  0  done; with `show`, the pair is good
  1  failed: a folder or a file cannot be used; with `show`, something is wrong
  2  the command line is wrong, or what `certs` needs is not installed
"""


@click.group("certs", epilog=_EPILOG)
def command() -> None:
    """Make certificates for workers and callers, for development, and check them."""


def _checked_by(
    check: Callable[[str], str],
) -> Callable[[click.Context, click.Parameter, str | None], str]:
    """Return a callback for an option whose value ``check`` may refuse; without one it is empty."""

    def check_value(_: click.Context, __: click.Parameter, value: str | None) -> str:
        try:
            return "" if value is None else check(value)
        except ValueError as wrong:
            raise click.BadParameter(str(wrong)) from None

    return check_value


def _label(option: str, what: str, **more: Any) -> Callable[[Any], Any]:
    callback = _checked_by(lambda text: check_label(text, what))
    return click.option(option, metavar=option.lstrip("-").upper(), callback=callback, **more)


def _days(default: int, most: int) -> Callable[[Any], Any]:
    return click.option(
        "--days",
        metavar="N",
        type=click.IntRange(min=1, max=most),
        default=default,
        show_default=True,
        help="Make it valid for N days.",
    )


_directory = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
_out = click.option(
    "--out",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    required=True,
    help="Write the credentials folder here; the files of an earlier pair are replaced.",
)


@command.command("authority")
@_directory
@_days(3_650, most=36_500)
@click.option("--replace", is_flag=True, help="Replace the authority that is there, for good.")
def make_authority(directory: Path, *, days: int, replace: bool) -> None:
    """Make an authority for development, in DIR/authority.

    It is ca.pem, its certificate, and ca-key.pem, its key. Where there is one already the command
    fails, unless --replace is given; pairs of the old authority and of the new one refuse each
    other.
    """
    folder = directory / _AUTHORITY
    with _end_in_sentences("authority"):
        from catena.security import authority  # noqa: PLC0415 - it needs an extra

        made = authority.make_authority(_read_clock(), days)
        try:
            authority.write_authority(folder, made, replace=replace)
        except FileExistsError:
            text = f"{folder} has an authority already; with --replace another one takes its place"
            raise Unusable(text) from None
    name = authority.show_name(made.certificate.subject)
    end = authority.show_time(made.certificate.not_valid_after_utc)
    click.echo(f"{folder}: {name}, valid until {end}")


@command.command("worker")
@_directory
@_label("--pool", "a pool's name", required=True, help="The name of the worker's pool.")
@_label("--id", "a worker's id", help="The worker's id; without it any worker may use the pair.")
@_days(90, most=3_650)
@_out
def issue_worker(directory: Path, *, pool: str, id: str, days: int, out: Path) -> None:
    """Issue a worker's pair, which is named ID.POOL.catena.

    Without --id it is a pair for all workers of the pool, named POOL.catena. The authority is that
    of `catena certs authority DIR`. Workers may also make calls with their pair.
    """
    _issue_pair("worker", directory, name_worker(pool, id), days, out)


@command.command("caller")
@_directory
@_label("--pool", "a pool's name", help="The name of the pool; not needed with --spiffe.")
@_label("--name", "a caller's name", help="The caller's name in the pool.  [default: caller]")
@click.option(
    "--spiffe",
    metavar="URI",
    callback=_checked_by(check_spiffe),
    help="A SPIFFE id to name the caller by; with --pool it has both names.",
)
@_days(90, most=3_650)
@_out
def issue_caller(directory: Path, *, pool: str, name: str, spiffe: str, **more: Any) -> None:
    """Issue a caller's pair, named NAME.POOL.catena or a SPIFFE id.

    The authority is that of `catena certs authority DIR`. Calls cannot be taken with such a pair.
    """
    if name and not pool:
        raise click.UsageError("--name is a name in a pool, so it needs --pool")
    if not pool and not spiffe:
        raise click.UsageError("--pool or --spiffe has to say how the caller is named")
    _issue_pair("caller", directory, name_caller(pool, name, spiffe), **more)


def _issue_pair(kind: str, directory: Path, holder: Holder, days: int, out: Path) -> None:
    with _end_in_sentences(kind):
        from catena.security import authority  # noqa: PLC0415 - it needs an extra

        issuer = authority.read_authority(directory / _AUTHORITY)
        pair = authority.issue_pair(issuer, holder, _read_clock(), days)
        authority.write_pair(out, pair)
    end = pair.certificate.not_valid_after_utc
    why = ", as its authority" if end == issuer.certificate.not_valid_after_utc else ""
    names = " and ".join(filter(None, (holder.dns, holder.spiffe)))
    click.echo(f"{out}: {kind} {names}, valid until {authority.show_time(end)}{why}")


@command.command("show")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def show_pair(folder: Path, *, as_json: bool) -> None:
    """Show whose pair a folder holds, and whether it is good.

    It is good when it is valid now, key and certificate belong together, an authority in ca.pem
    stands above the certificate, and other users cannot read the key. What ends within a week is
    warned of.
    """
    with _end_in_sentences("show"):
        from catena.security import inspection  # noqa: PLC0415 - it needs an extra

        found = inspection.inspect_folder(folder, _read_clock())
    click.echo(_as_json(folder, found) if as_json else _as_lines(folder, found))
    for warning in found.warnings:
        report_line("certs show", f"warning: {warning}")
    if found.problems:
        raise CommandEnded("certs show", "\n".join(found.problems), FAILED)


def _as_json(folder: Path, found: Inspection) -> str:
    from catena.security.authority import show_name  # noqa: PLC0415 - it needs an extra

    above = found.authority
    facts = {
        "schema": _SCHEMA,
        "folder": str(folder),
        "names": found.names,
        "takes_calls": found.takes_calls,
        "makes_calls": found.makes_calls,
        "serial": f"{found.certificate.serial_number:x}",
        "valid_from": found.certificate.not_valid_before_utc.isoformat(),
        "valid_until": found.certificate.not_valid_after_utc.isoformat(),
        "authority": show_name(above.subject) if above else None,
        "authority_valid_until": above.not_valid_after_utc.isoformat() if above else None,
        "problems": found.problems,
        "warnings": found.warnings,
    }
    return json.dumps(facts, indent=2)


def _as_lines(folder: Path, found: Inspection) -> str:
    from catena.security.authority import show_name, show_time  # noqa: PLC0415 - as above

    uses = (("takes calls", found.takes_calls), ("makes calls", found.makes_calls))
    begin = show_time(found.certificate.not_valid_before_utc)
    end = show_time(found.certificate.not_valid_after_utc)
    authority = "none"
    if found.authority is not None:
        until = show_time(found.authority.not_valid_after_utc)
        authority = f"{show_name(found.authority.subject)}, valid until {until}"
    lines = (
        f"{folder}: {'something is wrong' if found.problems else 'good'}",
        f"  names      {printable(', '.join(found.names), 1000) or 'none'}",
        f"  use        {', '.join(use for use, allowed in uses if allowed) or 'none'}",
        f"  valid      from {begin} until {end}",
        f"  serial     {found.certificate.serial_number:x}",
        f"  authority  {authority}",
    )
    return "\n".join(lines)


@contextmanager
def _end_in_sentences(subcommand: str) -> Generator[None]:
    """Let what is wrong with files, or not installed, end the command with a line."""
    name = f"certs {subcommand}"
    try:
        yield
    except ModuleNotFoundError as missing:
        raise CommandEnded(name, str(missing), USAGE) from None
    except Unusable as problem:
        raise CommandEnded(name, str(problem), FAILED) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        text = f"{where}{(error.strerror or str(error)).lower()}"
        raise CommandEnded(name, text, FAILED) from None


def _read_clock() -> datetime:
    """Return the time, to the second: certificates know nothing shorter."""
    return datetime.now(UTC).replace(microsecond=0)
