"""Workers on Dask: Dask's own workers hold them, at most one each for one launcher.

A plugin on all Dask workers, late joiners included, holds what it is given and starts it again when
it has ended. It pushes where the worker listens through the scheduler, which also pushes which Dask
workers come and go. When one is lost, the launcher gives its worker to another one.

The launcher has a Dask client of its own, with a thread and an event loop of its own. So nothing
here depends on which kind of client the application has, nor on the loop that it uses.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import importlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Unpack

from catena.engines import dask_tasks
from catena.engines.launching import CLOSE_SECONDS, EngineLauncher, Report, WorkerOptions
from catena.engines.places import Places
from catena.engines.plan import WorkerPlan
from catena.engines.supervisor import STOP_SECONDS, Supervisor
from catena.errors import WorkerStartError, install_command
from catena.pool.following import Pauses
from catena.wording import reason

try:
    _distributed: Any = importlib.import_module("distributed")
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"{missing.name} is not installed: {install_command('dask')}", name=missing.name
    ) from None

_TOPIC = "catena-workers"
"""Of the scheduler's events: where workers listen, of all launchers."""
_ALL = "all"
"""The scheduler's own topic, in which Dask workers come and go."""
_ANSWER_SECONDS = 5.0
"""How long Dask may take beside what was asked for."""
_CONNECT_SECONDS = 10.0
"""How long a connection to the scheduler may take."""
_LOOK_SECONDS = 2.0
"""So often it is looked whether the scheduler is still there."""

_log = logging.getLogger("catena.engines")

with_context = dask_tasks.with_context


class Dask(EngineLauncher):
    """Launches workers on the workers of a Dask cluster, at most one on each, spread over hosts.

    ``cluster`` is a client or a cluster of Dask, or the address of a scheduler. With ``resources``
    only Dask workers are used that declare at least so much of each. Dask itself does not count
    what the workers use. The other options are those of all engines, as the page "Run workers on an
    engine" explains.
    """

    kind = "dask"

    def __init__(
        self,
        cluster: Any,
        count: int,
        *,
        resources: Mapping[str, float] | None = None,
        **options: Unpack[WorkerOptions],
    ) -> None:
        super().__init__(count, **options)
        self._cluster = cluster
        self._resources = dict(resources or {})
        self._name = ""
        self._client: Any = None
        self._places = Places()
        self._reports: dict[str, Callable[[str], None]] = {}
        self._stream: Any = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open_engine(self) -> None:
        """Connect to the scheduler, and give all Dask workers the plugin. Raises WorkerStartError.

        Raises TypeError for what is no cluster.
        """
        address, security = _find_scheduler(self._cluster)
        self._places = Places()
        try:
            await self._join(address, security)
        except OSError as error:
            await self.close_engine()
            cause = f"Dask's scheduler at {address} says: {reason(error)}"
            raise WorkerStartError(worker="any", cause=cause) from error
        self._begin_task(self._stay_joined(address, security))

    async def close_engine(self) -> None:
        """Take the plugin away, and disconnect."""
        for task in self._tasks:
            if task.get_loop() is asyncio.get_running_loop():
                task.cancel()
        self._tasks.clear()
        await self._leave()

    async def _join(self, address: str, security: Any) -> None:
        """Connect by a client of our own. Raises OSError."""
        self._name = f"catena-{secrets.token_hex(4)}"
        take = partial(_post, asyncio.get_running_loop(), self._take_event)
        self._client = await asyncio.to_thread(_join, address, security, self._name, take)
        self._stream = self._client.scheduler_comm
        self._places.begin_anew(await self._list_workers())

    async def _leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await asyncio.to_thread(_leave, client, self._name)

    async def _stay_joined(self, address: str, security: Any) -> None:
        """Connect anew when the connection was lost: with it the plugin and all workers are."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._client is not None and self._client.scheduler_comm is self._stream:
                continue
            self._places.begin_anew({})
            try:
                await self._leave()
                await self._join(address, security)
            except OSError as error:
                _log.warning("Dask's scheduler at %s is not there: %s", address, reason(error))
            else:
                _log.warning("the connection to Dask's scheduler was lost, and is there again")

    def _begin_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def keep_worker(self, plan: WorkerPlan, report: Report) -> None:
        """Have a Dask worker hold the worker, and another one when that is lost."""
        pauses = Pauses()
        self._reports[plan.id] = lambda target: report(plan.make_record(target) if target else None)
        try:
            while True:
                place = await self._places.take(plan.id)
                began = time.monotonic()
                await self._hold(plan, place, pauses)
                self._places.free(plan.id)
                report(None)
                _log.warning("Dask worker %s is gone, and worker %s with it", place, plan.id)
                pauses.note_lasted(time.monotonic() - began)
        finally:
            del self._reports[plan.id]

    async def _hold(self, plan: WorkerPlan, place: str, pauses: Pauses) -> None:
        """Have a Dask worker hold a worker; return when the Dask worker is lost."""
        held: Any = False
        while not held and self._places.has(place):
            try:
                held = await self._ask(place, hold_worker, plan)
            except Exception as error:
                # Whatever Dask raises is about its own connections, or about that worker.
                _log.warning("Dask worker %s takes no worker: %s", place, reason(error))
            if not held:
                await asyncio.sleep(pauses.draw())
        await self._places.await_lost(place)

    async def end_worker(self, id: str, patience: float) -> None:
        """Have the worker finish its calls and end."""
        place = self._places.find(id)
        try:
            if place is not None and self._client is not None:
                async with asyncio.timeout(patience + STOP_SECONDS + _ANSWER_SECONDS):
                    await self._ask(place, end_worker, id, patience)
        except OSError as error:
            # It ends with its Dask worker's process, which holds its standard input.
            _log.warning("Dask worker %s did not end worker %s: %s", place, id, reason(error))
        finally:
            self._places.free(id)

    async def _ask(self, place: str, function: Any, *arguments: Any) -> Any:
        """Call a function on a Dask worker; return None when that is lost meanwhile."""
        run = partial(self._client.run, function, self._name, *arguments, workers=[place])
        asking = asyncio.create_task(asyncio.to_thread(run))
        losing = asyncio.create_task(self._places.await_lost(place))
        try:
            await asyncio.wait({asking, losing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            losing.cancel()
            # The thread waits until Dask gives up, and nobody wants to know.
            asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return asking.result()[place] if asking.done() else None

    async def _list_workers(self) -> dict[str, str]:
        """Return the addresses of the Dask workers that are fit, with their hosts."""
        info: Any = await asyncio.to_thread(self._client.scheduler_info)
        return {
            address: str(facts["host"])
            for address, facts in info["workers"].items()
            if all(
                facts["resources"].get(name, 0) >= amount
                for name, amount in self._resources.items()
            )
        }

    def _take_event(self, message: Mapping[str, Any]) -> None:
        """Take what the scheduler says: of its workers, or what a plugin pushes through it."""
        action, place = message.get("action"), message.get("worker", "")
        if action == "remove-worker":
            self._places.lose(place)
        elif action == "add-worker":
            self._places.welcome(place)
            self._begin_task(self._look_again())
        elif message.get("launcher") == self._name and self._places.find(message["id"]) == place:
            take = self._reports.get(message["id"])
            if take is not None:
                take(message["target"])

    async def _look_again(self) -> None:
        if self._client is None:
            return
        try:
            self._places.replace(await self._list_workers())
        except OSError as error:
            _log.warning("Dask's scheduler did not list its workers: %s", reason(error))


class WorkerHolder(_distributed.WorkerPlugin):
    """The plugin: what a Dask worker holds for one launcher."""

    def __init__(self, launcher: str) -> None:
        self._launcher = launcher

    def setup(self, worker: Any) -> None:
        """Note which Dask worker this is; called by Dask on its loop."""
        self._worker = worker
        self._held: dict[str, Supervisor] = {}
        self._ended: set[str] = set()

    def hold(self, plan: WorkerPlan) -> None:
        """Keep a worker running, in a thread."""
        if plan.id in self._held or plan.id in self._ended:
            return
        held = self._held[plan.id] = Supervisor(plan, self._worker.ip)
        keep = partial(held.keep, partial(self._push, plan.id))
        threading.Thread(target=keep, name=f"catena-keep-{plan.id}", daemon=True).start()

    async def end(self, id: str, patience: float) -> None:
        """End a worker, which has so many seconds for its calls."""
        # Also one that has not come yet, because the launcher's question was overtaken.
        self._ended.add(id)
        held = self._held.pop(id, None)
        if held is not None:
            await asyncio.to_thread(held.stop, patience)

    async def teardown(self, worker: Any) -> None:
        """End what is held: the plugin is taken away, or the Dask worker is closed."""
        await asyncio.gather(*(self.end(id, CLOSE_SECONDS) for id in [*self._held]))

    def _push(self, id: str, record: Any) -> None:
        """Have the scheduler say where a worker listens, or that it does not; by any thread."""
        message = {
            "launcher": self._launcher,
            "worker": self._worker.address,
            "id": id,
            "target": "" if record is None else record.target,
        }
        # A Dask worker that is closed has no event loop any more, and the launcher knows.
        with contextlib.suppress(RuntimeError):
            self._worker.log_event(_TOPIC, message)


def hold_worker(launcher: str, plan: WorkerPlan, dask_worker: Any) -> bool:
    """Have a Dask worker hold a worker; run there. False where the plugin is not there yet."""
    holder = dask_worker.plugins.get(launcher)
    if holder is None:
        return False
    holder.hold(plan)
    return True


async def end_worker(launcher: str, id: str, patience: float, dask_worker: Any) -> bool:
    """End a worker that a Dask worker holds; run there."""
    holder = dask_worker.plugins.get(launcher)
    if holder is not None:
        await holder.end(id, patience)
    return True


def _find_scheduler(cluster: Any) -> tuple[str, Any]:
    """Return the address of a scheduler, and the security that its clients have, if any."""
    if isinstance(cluster, str):
        return cluster, None
    scheduler = getattr(cluster, "scheduler", None)
    address = getattr(cluster, "scheduler_address", None) or getattr(scheduler, "address", None)
    if not isinstance(address, str):
        raise TypeError(
            "Dask takes a connected client, a cluster, or the address of a scheduler, not"
            f" {cluster!r}"
        )
    return address, getattr(cluster, "security", None)


def _join(address: str, security: Any, name: str, take: Callable[[Any], None]) -> Any:
    """Return a client that hears of workers, once all of them have the plugin."""
    client: Any = _distributed.Client(
        address,
        security=security,
        name=name,
        timeout=_CONNECT_SECONDS,
        set_as_default=False,
        asynchronous=False,
    )
    try:
        for topic in (_ALL, _TOPIC):
            client.subscribe_topic(topic, take)
        client.register_plugin(_make_watch(client.id, name), name=name)
        client.register_plugin(WorkerHolder(name), name=name)
    except BaseException:
        client.close()
        raise
    return client


def _make_watch(client: str, name: str) -> Any:
    """Return the scheduler's plugin, which takes the other one away when the client is gone.

    So nothing is left of an application that was killed. Its class is made here, because it then
    goes by value: a scheduler need not have Catena.
    """

    class Watch(_distributed.SchedulerPlugin):
        def remove_client(self, scheduler: Any, client: str) -> None:
            if client == self.client:
                scheduler.remove_plugin(name=self.worker_plugin)
                work = scheduler.unregister_worker_plugin(None, self.worker_plugin)
                self.task = asyncio.ensure_future(work)

    watch: Any = Watch()
    watch.client, watch.worker_plugin = client, name
    return watch


def _leave(client: Any, name: str) -> None:
    """Take the plugin away from the cluster, if that is still there, and disconnect."""
    try:
        # Where the scheduler is gone, asking would wait for it to come back.
        if client.status == "running":
            for topic in (_ALL, _TOPIC):
                client.unsubscribe_topic(topic)
            _unregister(client.unregister_scheduler_plugin, name)
            _unregister(client.unregister_worker_plugin, name)
    except OSError as error:
        _log.warning("Dask's scheduler is gone, and the plugin with it: %s", reason(error))
    finally:
        client.close()


def _unregister(unregister: Callable[[str], object], name: str) -> None:
    # The error says that it is gone already, as after a loss of the connection.
    with contextlib.suppress(ValueError):
        unregister(name)


def _post(
    loop: asyncio.AbstractEventLoop, take: Callable[[Any], None], event: tuple[float, Any]
) -> None:
    """Hand an event of the scheduler over to the launcher's loop; in the client's thread."""
    _, message = event
    # A loop that has ended wants to hear nothing more.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(take, message)
