"""Workers on Ray: for each of them there is an actor that holds it.

Ray places the actor, and starts it again when it or its machine is lost. The actor ends itself when
the worker's process has ended, so that Ray knows. The launcher follows each actor with one call
that waits: it brings the address when the worker listens, and fails when the actor is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import Any, Unpack

from catena.engines import ray_tasks
from catena.engines.launching import EngineLauncher, Report, WorkerOptions
from catena.engines.plan import WorkerPlan
from catena.engines.supervisor import STOP_SECONDS, Supervisor
from catena.errors import WorkerStartError, install_command
from catena.ids import MemberRecord
from catena.pool.following import Pauses

try:
    _ray: Any = importlib.import_module("ray")
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"{missing.name} is not installed: {install_command('ray')}", name=missing.name
    ) from None

_KILL_SECONDS = 5.0
"""How long Ray may take to say that an actor is gone."""
_OPTIONS = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
"""Resources that have an option of their own, by the names that Ray's bundles have for them."""

_log = logging.getLogger("catena.engines")

with_context = ray_tasks.with_context


class Ray(EngineLauncher):
    """Launches workers as actors of Ray, spread over its nodes.

    ``resources`` is what each worker takes of a node, as Ray writes bundles: ``{"CPU": 1}`` where
    nothing is given, ``{"CPU": 2, "GPU": 1}``. ``runtime_env`` is the environment in which they
    run, as for any actor. Ray has to be initialised in this process; otherwise ``address`` is the
    cluster that is joined while the workers are there. The other options are those of all engines,
    as the page "Run workers on an engine" explains.
    """

    kind = "ray"

    def __init__(
        self,
        count: int,
        *,
        resources: Mapping[str, float] | None = None,
        runtime_env: Mapping[str, Any] | None = None,
        address: str | None = None,
        **options: Unpack[WorkerOptions],
    ) -> None:
        super().__init__(count, **options)
        self._resources = {"CPU": 1.0} if resources is None else dict(resources)
        self._runtime_env = None if runtime_env is None else dict(runtime_env)
        self._address = address
        self._has_joined = False
        self._actors: dict[str, Any] = {}
        self._listening: set[str] = set()

    async def open_engine(self) -> None:
        """Look whether Ray is there, or join it. Raises WorkerStartError."""
        await asyncio.to_thread(self._join)

    def _join(self) -> None:
        if _ray.is_initialized():
            return
        if self._address is None:
            raise WorkerStartError(
                worker="any",
                cause="Ray is not initialised: call ray.init() first, or name a cluster with"
                " Ray(address=...)",
            )
        try:
            _ray.init(address=self._address)
        except (OSError, RuntimeError) as error:
            raise WorkerStartError(worker="any", cause=f"Ray says: {error}") from error
        self._has_joined = True

    async def close_engine(self) -> None:
        """Leave the cluster, if the launcher has joined it."""
        if self._has_joined:
            self._has_joined = False
            await asyncio.to_thread(_ray.shutdown)

    async def keep_worker(self, plan: WorkerPlan, report: Report) -> None:
        """Have an actor hold the worker, and start that anew whenever it has ended."""
        pauses, pause = Pauses(), 0.0
        while True:
            pauses.note_lasted(await self._hold_worker(plan, pause, report))
            self._listening.discard(plan.id)
            report(None)
            pause = pauses.draw()

    async def _hold_worker(self, plan: WorkerPlan, pause: float, report: Report) -> float:
        """Have the worker started after a pause, report where it is, and wait for its end.

        Returns how many seconds it was there.
        """
        errors: Any = _ray.exceptions
        try:
            found: MemberRecord | WorkerStartError = await self._start_worker(plan, pause)
        except (errors.RayError, ConnectionError) as error:
            _log.warning("Ray does not start worker %s, it is tried again: %s", plan.id, error)
            if not isinstance(error, errors.ActorUnavailableError | errors.RayTaskError):
                # The actor is gone for good, and another one is made.
                self._actors.pop(plan.id, None)
            await asyncio.sleep(pause)
            return 0
        if isinstance(found, WorkerStartError):
            _log.warning("%s; it is tried again", found.text())
            return 0
        began = time.monotonic()
        self._listening.add(plan.id)
        report(found)
        with contextlib.suppress(errors.RayError):
            await _ask(self._actors[plan.id].wait_ended)
        _log.warning("worker %s is gone; Ray starts it again", plan.id)
        return time.monotonic() - began

    async def _start_worker(self, plan: WorkerPlan, pause: float) -> Any:
        """Have the actor start the worker. Raises RayError, and ConnectionError without Ray."""
        if not _ray.is_initialized():
            # Asking an actor would start a Ray of its own.
            raise ConnectionError("Ray was shut down in this process")
        if plan.id not in self._actors:
            making = asyncio.ensure_future(asyncio.to_thread(self._make_actor, plan))
            try:
                await asyncio.shield(making)
            except asyncio.CancelledError:
                # It is made all the same, and has to be known to be taken away.
                await asyncio.wait({making})
                raise
        return await _ask(self._actors[plan.id].start, pause)

    def _make_actor(self, plan: WorkerPlan) -> None:
        options: dict[str, Any] = {
            option: self._resources[name]
            for name, option in _OPTIONS.items()
            if name in self._resources
        }
        self._actors[plan.id] = (
            _ray.remote(Holder)
            .options(
                **{"num_cpus": 0, **options},
                resources={
                    name: amount for name, amount in self._resources.items() if name not in _OPTIONS
                },
                runtime_env=self._runtime_env,
                scheduling_strategy="SPREAD",
                name=f"catena-{plan.id}",
                max_restarts=-1,
                max_concurrency=8,
            )
            .remote(plan)
        )

    async def end_worker(self, id: str, patience: float) -> None:
        """Let the worker finish its calls, and then take the actor away."""
        actor = self._actors.get(id)
        if actor is not None and _ray.is_initialized():
            await self._end_actor(id, actor, patience)
        # Not before: where the loop ends meanwhile, another one begins anew.
        self._actors.pop(id, None)

    async def _end_actor(self, id: str, actor: Any, patience: float) -> None:
        errors: Any = _ray.exceptions
        if id in self._listening:
            self._listening.discard(id)
            with contextlib.suppress(errors.RayError, TimeoutError):
                async with asyncio.timeout(patience + STOP_SECONDS + _KILL_SECONDS):
                    await _ask(actor.stop, patience)
        await asyncio.to_thread(_ray.kill, actor)
        # A call fails when Ray knows that the actor is gone.
        with contextlib.suppress(errors.RayError, TimeoutError):
            async with asyncio.timeout(_KILL_SECONDS):
                await _ask(actor.wait_ended)


class Holder:
    """The actor: it holds one worker at Ray's end, and ends itself when that has ended."""

    def __init__(self, plan: WorkerPlan) -> None:
        host: str = _ray.util.get_node_ip_address()
        self._supervisor = Supervisor(plan, host)

    def start(self, pause: float) -> MemberRecord | WorkerStartError:
        """Start the worker after a pause; return where it listens, or why it does not."""
        if self._supervisor.record is not None:
            # Somebody has asked before, and the answer was lost.
            return self._supervisor.record
        time.sleep(pause)
        try:
            found = self._supervisor.start()
        except WorkerStartError as error:
            return error
        threading.Thread(target=self._end_with_worker, name="catena-end", daemon=True).start()
        return found

    def wait_ended(self) -> str:
        """Wait until the worker has ended."""
        return self._supervisor.wait_ended()

    def stop(self, patience: float) -> None:
        """End the worker, which has so many seconds for its calls."""
        self._is_stopping = True
        self._supervisor.stop(patience)

    _is_stopping = False

    def _end_with_worker(self) -> None:
        how = self._supervisor.wait_ended()
        if not self._is_stopping:
            _log.warning("worker %s %s", self._supervisor.plan.id, how)
            # An actor that ends in any other way is not started again.
            os._exit(1)


async def _ask(method: Any, *arguments: Any) -> Any:
    """Call a method of an actor, and wait for its answer; Ray may block when it is asked."""
    return await (await asyncio.to_thread(method.remote, *arguments))
