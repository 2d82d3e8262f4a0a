"""Questions to name servers, and replies as values: what dnspython says, said once.

Only this module knows dnspython. A question that fails gives a reply, too, which says why.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from catena.facts import install_command

try:
    import dns.asyncresolver
    import dns.exception
    import dns.name
    import dns.rdatatype
    import dns.resolver
    import dns.rrset
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"{missing.name} is not installed: {install_command('discovery')}", name=missing.name
    ) from None

LONGEST_SECONDS = 30.0
"""For how long an answer counts at most, whatever it says itself."""

ANSWER_SECONDS = 5.0
"""How long one question is asked, of all name servers together."""

Resolver = dns.asyncresolver.Resolver

SRV, A, AAAA = "SRV", "A", "AAAA"
FAMILIES = (A, AAAA)


class Question(NamedTuple):
    """What is asked: a name, and a type of records."""

    name: str
    type: str


class Service(NamedTuple):
    """What an SRV record says, without its priority and its weight."""

    host: str
    port: int


class Reply(NamedTuple):
    """What came of a question, and for how many seconds it counts.

    ``failure`` says why there is no record; then ``empty`` says that a server said so, for this
    type of records. ``nobody`` says that the name does not exist.
    """

    addresses: tuple[str, ...] = ()
    services: tuple[Service, ...] = ()
    along: tuple[tuple[str, str], ...] = ()
    """Addresses that came along, each with the name that has it."""
    seconds: float = LONGEST_SECONDS
    failure: str = ""
    empty: bool = False
    nobody: bool = False


def open_resolver() -> Resolver:
    """Return a resolver that asks the name servers of this machine. Raises OSError without any."""
    try:
        return Resolver()
    except dns.exception.DNSException as error:
        raise OSError(f"no name server is known: {error}") from error


async def ask(resolver: Resolver, question: Question) -> Reply:
    """Ask a question until it is answered, or its time is over. Raises nothing but OSError."""
    try:
        answer = await resolver.resolve(
            question.name,
            question.type,
            search=True,
            lifetime=ANSWER_SECONDS,
            raise_on_no_answer=False,
        )
    except dns.resolver.NXDOMAIN as error:
        responses = cast("Any", error).responses().values()
        counted = [one.resolve_chaining().minimum_ttl for one in responses]
        return Reply(nobody=True, seconds=_limit_seconds(*counted))
    except dns.exception.DNSException as error:
        return Reply(failure=f"{question.type} of {question.name}: {_describe(error)}")
    if answer.rrset is None:
        return Reply(failure=f"{question.name} has no {question.type} record", empty=True)
    along = answer.response.additional if question.type == SRV else []
    along = [one for one in along if _is_address(one)]
    return Reply(
        addresses=_read_addresses(answer.rrset),
        services=_read_services(answer.rrset),
        along=tuple((_name_of(one.name), each) for one in along for each in _read_addresses(one)),
        seconds=_limit_seconds(answer.chaining_result.minimum_ttl, *(one.ttl for one in along)),
    )


def _describe(error: dns.exception.DNSException) -> str:
    """Return why a question has no answer, in the same words each time."""
    if isinstance(error, dns.exception.Timeout):
        return f"no name server answered within {ANSWER_SECONDS:.0f} seconds"
    if isinstance(error, dns.resolver.NoNameservers):
        return "all name servers refused to answer, or failed"
    return str(error)


def _read_services(found: dns.rrset.RRset) -> tuple[Service, ...]:
    """Return the services of an answer; a target that is the root says that there is none."""
    if found.rdtype != dns.rdatatype.SRV:
        return ()
    records = cast("Any", found)
    services = [Service(_name_of(one.target), one.port) for one in records]
    return tuple(sorted({one for one in services if one.host}))


def _read_addresses(found: dns.rrset.RRset) -> tuple[str, ...]:
    records = cast("Any", found)
    return tuple(one.address for one in records) if _is_address(found) else ()


def _is_address(found: dns.rrset.RRset) -> bool:
    return found.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA)


def _name_of(name: dns.name.Name) -> str:
    """Return a name as it is asked for again: absolute, and in small letters."""
    text = name.to_text().lower()
    return "" if text == "." else text


def _limit_seconds(*seconds: float) -> float:
    return min((*seconds, LONGEST_SECONDS))
