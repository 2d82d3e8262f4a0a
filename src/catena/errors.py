"""Every error and warning, in one place.

::

    Exception
      CatenaError
        SerializationError          something could not be written or read
          ChainSerializationError   ... namely a chain
        ChainContention             two threads or tasks on one chain
        ContextVarCollision         two live variables with the same key
        TaskFactoryDisplaced        created tasks get no copy any more; also a RuntimeError
        NoPool                      a routine was called where no pool is open
          ForkedPool                ... or in a child that was forked from the pool's process
        NoFittingWorker             no worker has the tags that a call asks for
        DefaultPoolExists           a second default pool in one process
        BlockingRefused             a blocking call on the pool's own thread; also a RuntimeError
        ForkRefused                 a fork whose child would crash; also a RuntimeError
        WorkerLost                  the worker went away during a call
        DispatchTimeout             no worker accepted a call in time; also a TimeoutError
        Busy                        every worker refused a call because it is overloaded
        WorkerStartError            a worker did not come up
        VersionRefused              the peer speaks another major version
        PeerRefused                 one end of a link refused the other
        CredentialsError            credentials cannot be used, or are missing; also a ValueError
        ProtocolError               the peer sent what the grammar does not allow
        RemoteError                 stands in for a remote exception that could not be rebuilt
        AddressRefused              an address at which one cannot, or should not, listen
        NoQueue                     a routine was submitted where no queue is bound
        QueueUnreachable            the store of a queue did not answer; also a ConnectionError
        TaskRefused                 a routine cannot become a background task
        TaskCancelled               the result of a task was asked for that was cancelled
        SnapshotError               the context of a background task cannot be mounted
    Warning
      CatenaWarning
        SerializationWarning        one entry of a chain was left out

An error is made from its facts: keyword arguments that become attributes. The text is derived from
them and ends with the command that prints cause and remedy, which the page
``docs/reference/errors.md`` has for each class. The representation shows the facts, and every error
can be pickled.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from catena.call_errors import BlockingRefused, NoFittingWorker
from catena.escape import printable
from catena.facts import INSTALL, CatenaError, Facts, install_command, show_task
from catena.link_errors import AddressRefused, CredentialsError, PeerRefused, VersionRefused
from catena.task_errors import (
    NoQueue,
    QueueUnreachable,
    SnapshotError,
    TaskCancelled,
    TaskRefused,
)

__all__ = [
    "INSTALL",
    "AddressRefused",
    "BlockingRefused",
    "Busy",
    "CatenaError",
    "CatenaWarning",
    "ChainContention",
    "ChainSerializationError",
    "ContextVarCollision",
    "CredentialsError",
    "DefaultPoolExists",
    "DispatchTimeout",
    "ForkRefused",
    "ForkedPool",
    "NoFittingWorker",
    "NoPool",
    "NoQueue",
    "PeerRefused",
    "ProtocolError",
    "QueueUnreachable",
    "RemoteError",
    "SerializationError",
    "SerializationWarning",
    "SnapshotError",
    "TaskCancelled",
    "TaskFactoryDisplaced",
    "TaskRefused",
    "VersionRefused",
    "WorkerLost",
    "WorkerStartError",
    "install_command",
]


class CatenaWarning(Facts, Warning):
    """Base class of every warning that Catena gives."""


@dataclass(kw_only=True, eq=False, repr=False)
class SerializationError(CatenaError):
    """An argument, a result, a routine or a chain could not be pickled or unpickled.

    ``what`` names it (an argument, the result, the routine), ``routine`` the routine it belongs
    to, ``cause`` is the reason as text; the original exception, where there is one, is
    ``__cause__``.
    """

    what: str
    routine: str = ""
    cause: str = ""
    worker: str = ""
    doing: str = "sent"

    def text(self) -> str:
        of = f" of routine {self.routine}" if self.routine else ""
        on = f" on worker {self.worker}" if self.worker else ""
        return f"{self.what}{of} could not be {self.doing}{on}: {self.cause}"


@dataclass(kw_only=True, eq=False, repr=False)
class ChainSerializationError(SerializationError):
    """A chain could not be written or read; ``warnings`` lists what was wrong, entry by entry.

    When it was raised in place of a result, the result is ``value``, which is left out when the
    error is pickled.
    """

    what: str = "a chain"
    doing: str = "read"
    warnings: tuple[SerializationWarning, ...] = ()
    value: Any = field(default=None, init=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "value": None}


@dataclass(kw_only=True, eq=False, repr=False)
class ChainContention(CatenaError):
    """A second thread or task (``kind`` says which) touched a chain that another one runs.

    ``owner_thread`` and ``thread`` are thread ids, ``owner_task`` and ``task`` the tasks (their
    representations once the error was pickled), None where there is none.
    """

    chain_id: str
    kind: Literal["thread", "task"]
    owner_thread: int | None = None
    thread: int | None = None
    owner_task: object = None
    task: object = None

    def text(self) -> str:
        if self.kind == "thread":
            return (
                f"chain {self.chain_id} belongs to thread {self.owner_thread} and was touched in"
                f" thread {self.thread}; use catena.to_thread to give the thread a copy of it"
            )
        return (
            f"chain {self.chain_id} is run by {show_task(self.owner_task)} and was touched by"
            f" {show_task(self.task)}; give each task a Context of its own, as create_task does"
        )

    def __getstate__(self) -> dict[str, Any]:
        facts = super().__getstate__()
        for name in ("owner_task", "task"):
            if facts[name] is not None and not isinstance(facts[name], str):
                facts[name] = repr(facts[name])
        return facts


@dataclass(kw_only=True, eq=False, repr=False)
class ContextVarCollision(CatenaError):
    """A key ``(namespace, name)`` was declared while another variable with that key is alive."""

    namespace: str
    name: str
    declared_at: str

    def text(self) -> str:
        return (
            f"a ContextVar {self.name!r} of namespace {self.namespace!r} exists already, declared"
            f" at {self.declared_at}; use that one, delete it first (`del` its name before the cell"
            " runs again), or pass another name, namespace= or at="
        )


@dataclass(kw_only=True, eq=False, repr=False)
class TaskFactoryDisplaced(CatenaError, RuntimeError):
    """A later task factory does not call Catena's, so created tasks get no chain of their own.

    ``loop`` and ``factory`` are the representations of the loop and of the factory it has now,
    ``"None"`` for the standard library's own.
    """

    loop: str
    factory: str

    def text(self) -> str:
        return (
            f"the task factory of {self.loop} is now {self.factory}, which does not call Catena's,"
            " so created tasks get no chain of their own; let it call the factory that was there"
            " before, or call catena.install_task_factory() once more"
        )


@dataclass(kw_only=True, eq=False, repr=False)
class NoPool(CatenaError):
    """A routine was called where no pool is open, or where the open pool cannot be used."""

    routine: str
    reason: str = ""

    def text(self) -> str:
        why = self.reason or "no worker pool is open here"
        if not self.routine:
            return f"{why}; `await catena.WorkerPool(spawn=2, default=True).open()` opens a pool"
        here = f"run it in this process with `{self.routine.rpartition('.')[2]}.local(...)`"
        remedy = f"open one with `async with catena.WorkerPool(spawn=2):`, or {here}"
        return f"routine {self.routine} cannot be dispatched: {why}; {remedy}"


@dataclass(kw_only=True, eq=False, repr=False)
class DefaultPoolExists(CatenaError):
    """A pool was to be opened as the default one of a process that has one already."""

    existing: str

    def text(self) -> str:
        remedy = "close it first, with `await catena.default_pool().close()`"
        return f"this process has a default pool already, {self.existing}; {remedy}"


@dataclass(kw_only=True, eq=False, repr=False)
class ForkedPool(NoPool):
    """The pool belongs to process ``opened_by``, from which this one was forked.

    ``routine`` is the routine that was called, empty when the pool itself was left or entered.
    """

    opened_by: int
    routine: str = ""
    reason: str = field(default="", init=False)

    def __post_init__(self) -> None:
        pool = "which opened the pool"
        self.reason = f"this process was forked from process {self.opened_by}, {pool}"

    def text(self) -> str:
        if self.routine:
            return super().text()
        return f"the pool cannot be used here: {self.reason}; open another pool in this process"


@dataclass(kw_only=True, eq=False, repr=False)
class ForkRefused(CatenaError, RuntimeError):
    """This process may not be forked while a pool is open; ``variable`` would allow it.

    gRPC was loaded before Catena with its own fork support, which crashes children at random.
    """

    variable: str

    def text(self) -> str:
        return (
            "this process cannot be forked while a pool is open: gRPC was imported before Catena,"
            f" and its fork support crashes children; set {self.variable}=0 in the environment,"
            ' import catena before grpc, or start children by multiprocessing\'s "spawn"'
        )


@dataclass(kw_only=True, eq=False, repr=False)
class WorkerLost(CatenaError):
    """The worker went away while it had the call; whether the call had begun is ``begun``.

    True: its acceptance had arrived. None: unknown, so it was not sent again. False: it certainly
    had not begun, and no other worker was left to try. ``closed`` says that the worker did not
    fail: the pool was closed in this process while the call was open. Of several ``attempts``, the
    last one had this ``worker``, and ``begun`` is that of the one that got furthest.
    """

    worker: str
    routine: str
    begun: bool | None
    cause: str = ""
    closed: bool = False
    attempts: int = 1

    def text(self) -> str:
        state = {True: "had begun", None: "may have begun", False: "had not begun"}[self.begun]
        if self.closed:
            call = f"a call of routine {self.routine} was open"
            return f"the pool was closed while {call}; it {state} on worker {self.worker}"
        why = f" ({self.cause})" if self.cause else ""
        many = f"; {self.attempts} attempts were made" if self.attempts > 1 else ""
        return f"worker {self.worker} was lost{why}; routine {self.routine} {state} there{many}"


@dataclass(kw_only=True, eq=False, repr=False)
class DispatchTimeout(CatenaError, TimeoutError):
    """No worker accepted a call within ``seconds``; ``worker`` is the one it was sent to.

    It is empty when none could be reached. The call was cancelled, and may have begun all the same.
    """

    routine: str
    worker: str
    seconds: float

    def text(self) -> str:
        who = f"worker {self.worker}" if self.worker else "no worker that could be reached"
        did = "did not accept" if self.worker else "accepted"
        return f"{who} {did} routine {self.routine} within {self.seconds:g} s"


@dataclass(kw_only=True, eq=False, repr=False)
class Busy(CatenaError):
    """Every worker refused a call because it is overloaded; the call has not begun.

    ``worker`` names those that refused, ``reason`` is what the last of them gave as its reason.
    """

    routine: str
    worker: str
    reason: str = ""

    def text(self) -> str:
        text = f"worker {self.worker} is too busy for routine {self.routine}"
        return f"{text} ({self.reason})" if self.reason else text


@dataclass(kw_only=True, eq=False, repr=False)
class WorkerStartError(CatenaError):
    """A worker did not come up; ``cause`` ends with what it last wrote to its standard error."""

    worker: str
    cause: str
    exit_code: int | None = None

    def text(self) -> str:
        code = "" if self.exit_code is None else f" (exit code {self.exit_code})"
        return f"worker {self.worker} did not start{code}: {self.cause}"


@dataclass(kw_only=True, eq=False, repr=False)
class ProtocolError(CatenaError):
    """The peer sent a ``frame`` that may not follow the frame ``after``, or broke a limit."""

    reason: str
    frame: str = ""
    after: str = ""

    def text(self) -> str:
        pair = f": {self.frame}" if self.frame else ""
        return f"{self.reason}{pair} after {self.after}" if self.after else f"{self.reason}{pair}"


@dataclass(kw_only=True, eq=False, repr=False)
class RemoteError(CatenaError):
    """Stands in for a remote exception whose class or state could not be brought here.

    ``type_name`` and ``message`` are the original's; ``step`` says why it could not be rebuilt.
    """

    type_name: str
    message: str
    step: str

    def text(self) -> str:
        return f"{self.type_name}: {self.message} (could not be rebuilt here: {self.step})"


@dataclass(kw_only=True, eq=False, repr=False)
class SerializationWarning(CatenaWarning):
    """One entry of a chain was left out: ``key``, ``doing`` ("sent" or "read"), and the cause."""

    key: tuple[str, str]
    doing: str
    cause: str

    def text(self) -> str:
        variable = ":".join(map(printable, self.key))
        return f"variable {variable} could not be {self.doing}: {self.cause}"
