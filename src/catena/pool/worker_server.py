"""``WorkerServer``: a worker that is started by hand, or by whatever supervises processes.

No pool has started it, and none ends it. It listens, announces where, and serves the pools that
find it until it is stopped: then it withdraws what it has announced, finishes its calls, and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import socket
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from catena.dispatch.worker.admission import Admission
from catena.ids import MemberRecord
from catena.link.health import Health, HealthServer
from catena.link.server import Server
from catena.pool.announcing import announce_at
from catena.pool.arguments import checked_function, checked_number, checked_patience, checked_switch
from catena.pool.bootstrap import import_function
from catena.pool.heartbeat import Heartbeat
from catena.pool.serving import Service
from catena.proxy.watch import Watch
from catena.security.authorise import Authorisation, Names
from catena.security.credentials import Credentials
from catena.security.names import check_label, dns_name
from catena.security.trust import Trust
from catena.standing import adopt_id
from catena.tags import checked_tags
from catena.targets import address_of, is_local, unix_target

_UNIX = "unix:"
_UNHEARD = "the program that it runs in does not stop it for operators, as `catena worker` does"


class WorkerServer:
    """A worker in this process, which pools find by what it announces.

    ``listen`` is where it listens: ``unix:`` and the path of a socket, or ``host:port``. There both
    ends prove who they are: ``certs`` is its folder of credentials, ``pool`` the name of the pool
    that is in its certificate, and ``callers`` says who may call, as a list of names or a file of
    them; without it all may who have a name under that of the pool. ``operators`` is such a list of
    those who may stop it and ask for its status, by default ``operator.<pool>.catena``. Where the
    certificate is one ``shared_certificate`` for several workers, it names the pool and no worker.
    Whoever reaches the address may run code there where it is ``insecure``. ``id`` is its name,
    made of small letters, digits and dashes; it is drawn where none is given. ``announce`` says how
    pools learn of it: ``dir:`` and a folder that they read, ``lan:`` for the local network, there
    as a worker of ``pool`` or of another one that is named after the colon, ``fd:`` and the number
    of a descriptor, or ``stdout``; several are allowed. Calls choose workers by their ``tags``.
    ``slots``, ``max_calls_in_flight``, ``refuse`` and ``strict`` are explained at WorkerPool.
    ``lifespan`` names a function, as "module:function", that returns an asynchronous context
    manager: it is entered before the worker listens, and left after its last call.
    ``drain_timeout`` is how many seconds the calls that it has may take when it is stopped,
    ``stop_timeout`` how many they may take to clean up when they are cancelled after that. With the
    extra ``health``, gRPC's standard health service says where the worker listens whether it
    serves; ``health`` is another address, ``host:port``, that says so in plain text.

    ``async with`` starts and stops it; ``start`` and ``stop`` do the same. A process has one.

    Starting raises OSError where it cannot listen or be announced, and what the lifespan raises;
    constructing raises TypeError and ValueError for a wrong option.
    """

    def __init__(  # noqa: PLR0913 - each is an option of its own
        self,
        listen: str,
        *,
        id: str | None = None,
        announce: str | Iterable[str] = (),
        tags: Iterable[str] = (),
        slots: int = 1,
        max_calls_in_flight: int | None = None,
        refuse: str | None = None,
        strict: bool = False,
        lifespan: str | None = None,
        drain_timeout: float = 30.0,
        stop_timeout: float = 2.5,
        health: str | None = None,
        certs: str | os.PathLike[str] | None = None,
        pool: str = "",
        shared_certificate: bool = False,
        callers: Iterable[str] | os.PathLike[str] | None = None,
        operators: Iterable[str] | os.PathLike[str] | None = None,
        insecure: bool = False,
    ) -> None:
        self.id = _checked_id(id)
        self.target = _checked_listen(listen)
        self.tags = checked_tags(tags)
        self._places = (announce,) if isinstance(announce, str) else tuple(announce)
        self._lifespan = checked_function("lifespan", lifespan)
        self._drain_timeout = checked_patience("drain_timeout", drain_timeout)
        self._grace = checked_patience("stop_timeout", stop_timeout)
        self._slots = checked_number("slots", slots, least=1) or 1
        most = checked_number("max_calls_in_flight", max_calls_in_flight, least=1)
        refusing = checked_function("refuse", refuse)
        self._admission: Admission | None = None
        if most is not None or refusing is not None:
            self._admission = Admission(
                most, None if refusing is None else import_function(refusing)
            )
        self._strict = checked_switch("strict", strict)
        self._health = health
        self._pool = pool
        self._is_shared = checked_switch("shared_certificate", shared_certificate)
        insecure = checked_switch("insecure", insecure)
        credentials = None if certs is None else Credentials(certs)
        self._trust = Trust(credentials, pool, insecure=insecure)
        self._may_call: Authorisation | None = None
        if credentials is not None and not is_local(self.target):
            self._may_call = Authorisation(pool, _names_in(callers), _names_in(operators))
        self._stack: AsyncExitStack | None = None
        self._stopped = asyncio.Event()
        # What operators ask for: who has asked that it stops, who waits for that, and no more time.
        self._asked: list[str] = []
        self._listening: set[asyncio.Future[str]] = set()
        self._hurried = asyncio.Event()

    @property
    def record(self) -> MemberRecord:
        """What is announced."""
        is_named = self._pool and not is_local(self.target)
        name = dns_name(self._pool, "" if self._is_shared else self.id) if is_named else ""
        return MemberRecord(self.id, self.target, name, self.tags)

    async def start(self) -> Self:
        """Listen, announce it, and return the worker. Raises RuntimeError when it runs already."""
        if self._stack is not None:
            raise RuntimeError("this worker runs already")
        self._stopped.clear()
        self._hurried.clear()
        self._asked.clear()
        async with AsyncExitStack() as stack:
            health = await _answer_checks(self._health, stack)
            if self._lifespan is not None:
                await stack.enter_async_context(_call_lifespan(self._lifespan))
            adopt_id(self.id, self._slots, self.tags)
            stack.callback(adopt_id, "")
            service = Service(
                self.id,
                self._slots,
                strict=self._strict,
                found=True,
                trust=self._trust,
                admission=self._admission,
                stop=self._begin_stop,
            )
            await self._listen(service, health, stack)
            stack.push_async_callback(self._finish_calls, service)
            stack.enter_context(_beating(service))
            if health is not None:
                health.say_serving()
                stack.callback(health.say_draining)
            for place in self._places:
                await stack.enter_async_context(announce_at(place, self.record, self._pool))
            self._stack = stack.pop_all()
        return self

    async def _listen(self, service: Service, health: Health | None, stack: AsyncExitStack) -> None:
        path = Path(address_of(self.target)) if is_local(self.target) else None
        if path is not None and _is_socket(path) and not await _is_answered(path):
            path.unlink(missing_ok=True)
        server = Server(
            self.target,
            self.id,
            service.accept_link,
            credentials=self._trust.credentials,
            authorisation=self._may_call,
            operated=service,
            insecure=self._trust.insecure,
            health=health,
        )
        if path is not None:
            # Before anybody is served.
            path.chmod(0o600)
        await server.start()
        self.target = server.target
        if path is not None:
            stack.callback(path.unlink, missing_ok=True)
        stack.push_async_callback(service.close, server, self._grace)

    async def _finish_calls(self, service: Service) -> None:
        """Let calls finish, as long as they may, and nobody wants it to stop at once."""
        ends = [asyncio.ensure_future(one) for one in (service.finish(), self._hurried.wait())]
        try:
            await asyncio.wait(
                ends, timeout=self._drain_timeout, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for one in ends:
                one.cancel()

    def _begin_stop(self, who: str, now: bool) -> str:  # noqa: FBT001 - as Service calls it
        """Let whoever waits for it know that an operator asks that it stops."""
        if self._stack is not None and not (self._listening or self._asked):
            return _UNHEARD
        self._asked.append(who)
        if now:
            self._hurried.set()
        for waiter in self._listening:
            if not waiter.done():
                waiter.set_result(who)
        return ""

    async def wait_stop_asked(self) -> str:
        """Wait until an operator asks that it stops, and return who that is; then stop it.

        As long as nobody waits here, operators are refused.
        """
        if self._asked:
            return self._asked[0]
        waiter: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._listening.add(waiter)
        try:
            return await waiter
        finally:
            self._listening.discard(waiter)

    async def stop(self) -> None:
        """Withdraw what is announced, finish the calls, and end; once, whoever else calls it."""
        stack, self._stack = self._stack, None
        if stack is None:
            await self._stopped.wait()
            return
        try:
            await stack.aclose()
        finally:
            self._stopped.set()

    async def wait_stopped(self) -> None:
        """Wait until it has been stopped."""
        await self._stopped.wait()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._stack is not None:
            await self.stop()

    def __repr__(self) -> str:
        return f"<WorkerServer {self.id} at {self.target}>"


@contextlib.contextmanager
def _beating(service: Service) -> Any:
    """Look after the workers that this one's own calls go to, as long as it runs."""
    watch = Watch(service.proxies.list_members)
    heartbeat = Heartbeat()
    heartbeat.on_beat = watch.look
    heartbeat.start()
    try:
        yield
    finally:
        heartbeat.stop()


async def _answer_checks(address: str | None, stack: AsyncExitStack) -> Health | None:
    """Return what says whether the worker serves, None where the extra is missing.

    At the address, where one is given, checks are answered until all else has ended. Raises
    ModuleNotFoundError where that needs the extra, and OSError.
    """
    try:
        health = Health()
    except ModuleNotFoundError:
        if address is not None:
            raise
        return None
    if address is not None:
        server = HealthServer(address, health)
        await server.start()
        stack.push_async_callback(server.stop)
    return health


def _call_lifespan(name: str) -> Any:
    """Return the context manager of a lifespan. Raises TypeError for anything else."""
    found: Any = import_function(name)()
    if not hasattr(found, "__aenter__"):
        raise TypeError(
            f"lifespan {name} returned {found!r}, and not an asynchronous context"
            " manager; decorate it with contextlib.asynccontextmanager"
        )
    return found


def _names_in(given: Iterable[str] | os.PathLike[str] | None) -> Names | None:
    return given if given is None or isinstance(given, os.PathLike) else [*given]


def _is_socket(path: Path) -> bool:
    """Say whether there is a socket. Raises OSError where none can be."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent}")
    if path.exists() and not path.is_socket():
        raise FileExistsError(f"{path} is there already, and is no socket")
    return path.is_socket()


async def _is_answered(path: Path) -> bool:
    """Return False for a socket that was left. Raises FileExistsError where somebody listens."""
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except (ConnectionError, FileNotFoundError):
        return False
    writer.close()
    raise FileExistsError(f"somebody listens at {path} already")


def _checked_id(value: str | None) -> str:
    if value is None:
        host = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().lower()).strip("-")[:40]
        return f"{host or 'worker'}-{secrets.token_hex(4)}"
    return check_label(value, "id")


def _checked_listen(value: str) -> str:
    if value.startswith(_UNIX) and len(value) > len(_UNIX):
        return unix_target(Path(value.removeprefix(_UNIX)).absolute())
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"listen must be unix:PATH or HOST:PORT, it is {value!r}")
    return value
