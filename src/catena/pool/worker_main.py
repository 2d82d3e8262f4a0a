"""The worker process: ``python -m catena.pool.worker_main``, started by a pool and by nobody else.

It reads its settings from its standard input, a socket on which it answers that it is ready, serves
links until that input ends, and ends soon after, even when a routine blocks its event loop. Its
bootstrap is called before it serves, and the function that the bootstrap returned after that.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from catena.dispatch.posting import post
from catena.dispatch.worker.admission import Admission
from catena.errors import install_command
from catena.grpc_loading import restore_variables
from catena.link.server import Server
from catena.pool import forking
from catena.pool.bootstrap import BOOTSTRAP, Bootstrap, import_function
from catena.pool.forwarding import open_forwarder
from catena.pool.heartbeat import Heartbeat
from catena.pool.held import hold_descriptor
from catena.pool.lines import write_whole_lines
from catena.pool.overtime import OvertimeWatch, overtime_path
from catena.pool.serving import Service
from catena.pool.socket_dir import remove_abandoned
from catena.pool.stacks import StackFile, stack_path
from catena.proxy.watch import Watch
from catena.security.trust import Trust
from catena.standing import adopt_id, worker_id
from catena.targets import unix_target
from catena.wording import reason

_CLEAN_UP = 0.8
"""The share of its time that a worker has for routines and links; its bootstrap has the rest."""
_LEAST = 0.3
"""Seconds that a bootstrap has in any case; the parent waits half a second before it kills."""


def main(arguments: Sequence[str]) -> int:
    """Serve until standard input ends; return the exit code. There are no arguments to give."""
    line = b"" if arguments else sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        if worker_id():
            # The pool was given up before it had said what this worker is to do.
            return 1
        sys.stderr.write("catena: a worker is started by a pool, not by hand\n")
        return 2
    facts = json.loads(line)
    control = _settle_in(facts)
    forwarder = open_forwarder(facts)
    bootstrap = _call_bootstrap(facts, control)
    admission = _find_admission(facts, control)
    # What is imported by now stays: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    if facts["gc_threshold"] is not None:
        gc.set_threshold(facts["gc_threshold"])
    serving = _Serving(facts, control, bootstrap, admission)
    try:
        with _make_runner(facts["loop"]) as runner:
            runner.run(serving.run())
    except BrokenPipeError:
        # The parent is gone, or has given the start up.
        return 1
    finally:
        serving.remove_socket()
    bootstrap.finish_worker(serving.seconds_left())
    if forwarder is not None:
        forwarder.finish(serving.seconds_left())
    return serving.exit_code


def _settle_in(facts: dict[str, Any]) -> int:
    """Make this process a likeness of its parent; return what leads to the parent."""
    sys.path[:] = facts["sys_path"]
    sys.argv[:] = facts["argv"]
    restore_variables(facts["environment"])
    adopt_id(facts["worker"], facts["slots"])
    # Whoever wants this process to end closes its standard input; Ctrl-C is the parent's.
    signal.signal(signal.SIGINT, _ignore_signal)
    write_whole_lines()
    # A routine that reads its standard input finds it empty, and so do processes it starts.
    control = hold_descriptor(os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return control


def _call_bootstrap(facts: dict[str, Any], control: int) -> Bootstrap:
    """Call the bootstrap before the worker serves; report to the parent when it raises."""
    name = facts["bootstrap"]
    try:
        return Bootstrap(os.environ.get(BOOTSTRAP, "") if name is None else name)
    except Exception as error:
        # With its traceback to the parent, which reports it once, and not by each worker on stderr.
        trace = "".join(traceback.format_exception(error))
        _report_start(control, f"bootstrap: {reason(error)}\n{trace}")
        raise SystemExit(1) from None


def _find_admission(facts: dict[str, Any], control: int) -> Admission | None:
    """Return what this worker refuses calls by, None without; report what importing it raises."""
    most, name = facts["max_calls_in_flight"], facts["refuse"]
    if most is None and name is None:
        return None
    try:
        return Admission(most, None if name is None else import_function(name))
    except Exception as error:
        _report_start(control, f"refuse: {reason(error)}")
        raise SystemExit(1) from None


def _report_start(control: int, text: str) -> None:
    """Let the parent know how the start went. Raises BrokenPipeError when it does not listen."""
    os.write(control, text.encode("utf-8", "backslashreplace")[:4096])


def _ignore_signal(*_: object) -> None:
    """Take a signal and do nothing; unlike SIG_IGN this is not inherited by child processes."""


def _signals_of_a_child() -> Callable[[], None]:
    """Return what gives a forked child Python's own handlers back, unless it has others by then.

    It would wake the worker's loop otherwise, and end the worker when it is terminated itself.
    """
    own = (
        (signal.SIGINT, signal.getsignal(signal.SIGINT), signal.default_int_handler),
        (signal.SIGTERM, signal.getsignal(signal.SIGTERM), signal.SIG_DFL),
    )

    def give_back() -> None:
        signal.set_wakeup_fd(-1)
        for number, ours, pythons in own:
            if signal.getsignal(number) is ours:
                signal.signal(number, pythons)

    return give_back


def _make_runner(loop: str) -> asyncio.Runner:
    factory = None
    if loop != "asyncio":
        try:
            import uvloop  # noqa: PLC0415 - an extra

            factory = uvloop.new_event_loop
        except ImportError:
            if loop == "uvloop":
                raise ModuleNotFoundError(
                    f"uvloop is not installed: {install_command('uvloop')}"
                ) from None
    return asyncio.Runner(loop_factory=factory)


class _Serving:
    """The life of a worker, from listening to the end of its standard input."""

    def __init__(
        self, facts: dict[str, Any], control: int, bootstrap: Bootstrap, admission: Admission | None
    ) -> None:
        self._control = control
        self._bootstrap = bootstrap
        self._deadline = 0.0
        self._lock = threading.Lock()
        self._worker: str = facts["worker"]
        self._socket = Path(facts["socket"])
        self._grace: float = facts["stop_timeout"]
        self._beat: float = facts["beat"]
        self._secret = bytes.fromhex(facts["secret"])
        self._drain_timeout: float = facts["drain_timeout"]
        self._service = Service(
            self._worker,
            facts["slots"],
            secret=self._secret,
            strict=facts["strict"],
            trust=Trust.from_facts(facts["trust"]),
            admission=admission,
            overtime=OvertimeWatch(overtime_path(self._socket), partial(os._exit, 1)),
        )
        self.exit_code = 0

    async def run(self) -> None:
        """Listen, say so, and serve until the parent lets go or SIGTERM comes."""
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end_later, over)
        forking.in_child(_signals_of_a_child())
        with self._open_stacks() as note_beat:
            # Those that this worker's own calls go to are suspect here as they are in the pool.
            watch = Watch(self._service.proxies.list_members)
            heartbeat = Heartbeat(self._beat)
            heartbeat.on_beat = lambda: (note_beat(), watch.look())
            try:
                await self._serve(over, heartbeat)
            finally:
                heartbeat.stop()

    @contextlib.contextmanager
    def _open_stacks(self) -> Generator[Callable[[], object]]:
        """Have the stack of this thread written down when beats do not come, where that works."""
        try:
            stacks = StackFile(stack_path(self._socket), 1.5 * self._beat)
        except OSError:
            yield lambda: None
            return
        with contextlib.closing(stacks):
            yield stacks.note_beat

    async def _serve(self, over: asyncio.Event, heartbeat: Heartbeat) -> None:
        loop = asyncio.get_running_loop()
        heartbeat.start()
        target = unix_target(self._socket)
        service = self._service
        server = Server(target, self._worker, service.accept_link, self._secret, operated=service)
        await self._start_server(server)
        threading.Thread(
            target=self._await_parent, args=(loop, over), name="catena-parent", daemon=True
        ).start()
        await over.wait()
        self._start_countdown()
        await self._service.close(server, self._grace)

    async def _start_server(self, server: Server) -> None:
        """Listen and say so. Raises BrokenPipeError when nobody wants to know any more."""
        try:
            await server.start()
        except Exception as error:
            _report_start(self._control, reason(error))
            raise
        self._socket.chmod(0o600)
        try:
            _report_start(self._control, "ready")
        except BrokenPipeError:
            # gRPC complains of a server that is forgotten.
            await server.stop(None)
            raise

    def seconds_left(self) -> float:
        """Return how many seconds are left until the worker ends by force."""
        return max(self._deadline - time.monotonic(), 0.0) + _LEAST

    def remove_socket(self) -> None:
        """Leave nothing behind: no socket, and no directory or record when its owner is dead."""
        self._socket.unlink(missing_ok=True)
        stack_path(self._socket).unlink(missing_ok=True)
        overtime_path(self._socket).unlink(missing_ok=True)
        if remove_abandoned(self._socket.parent):
            from catena.pool.record_folder import read_pools  # noqa: PLC0415 - seldom needed

            # Reading them removes those of processes that are dead.
            read_pools()

    def _end_later(self, over: asyncio.Event) -> None:
        """P12: go on until the parent lets go, at most the time of a drain, because of SIGTERM."""
        self.exit_code = 128 + signal.SIGTERM
        asyncio.get_running_loop().call_later(self._drain_timeout, over.set)

    async def _drain(self, over: asyncio.Event) -> None:
        """End when all who have called have let go."""
        await self._service.drain()
        over.set()

    def _await_parent(self, loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
        """Wait for the end of standard input, and pass it on; before it may come ``drain``."""
        # What runs the drain is held until it is over.
        running: list[object] = []
        with contextlib.suppress(OSError):
            while said := os.read(self._control, 4096):
                if b"drain\n" in said:
                    running.append(asyncio.run_coroutine_threadsafe(self._drain(over), loop))
        self._start_countdown()
        post(loop, over.set)

    def _start_countdown(self) -> None:
        """Begin to count the time that is left; from any thread, and more than once."""
        with self._lock:
            if not self._deadline:
                self._deadline = time.monotonic() + self._grace
                threading.Thread(
                    target=self._end_by_force, name="catena-force", daemon=True
                ).start()

    def _end_by_force(self) -> None:
        """Leave when the time is over, also when a routine blocks the loop."""
        never = threading.Event()
        never.wait(self._grace * _CLEAN_UP)
        self._bootstrap.finish_worker(self.seconds_left())
        never.wait(self._deadline - time.monotonic())
        self.remove_socket()
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
