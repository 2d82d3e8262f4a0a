"""The attributes of spans and log records and the labels of metrics, each with its meaning.

The same fact has the same name everywhere. Values of variables, arguments, results and credentials
are in none of them; the text of an error is only where messages are recorded.
"""

from __future__ import annotations

ATTRIBUTES: dict[str, str] = {
    "catena.attempts": "How many workers the call was sent to.",
    "catena.breach.ended": "What a breach of the protocol has ended: `call` or `link`.",
    "catena.call.end": "Which end of a call recorded it: `caller` or `worker`.",
    "catena.call.id": "The number of the call on its link.",
    "catena.carrier": "Why a call begins a trace of its own: its trace context "
    "was `absent`, `malformed` or `oversized`.",
    "catena.chain.id": "The chain, 16 bytes in hexadecimal.",
    "catena.chain.parent_id": "The chain that it was forked from.",
    "catena.contender.call": "The call whose Context the contender ran in.",
    "catena.contender.process": "The process of the contender.",
    "catena.contender.task": "The name of the task that was refused the chain, if any.",
    "catena.contender.thread": "The thread that was refused the chain.",
    "catena.contention.kind": "Whether owner and contender are two threads (`thread`) or two tasks "
    "(`task`).",
    "catena.credentials.cause": "Why credentials could not be used.",
    "catena.credentials.follows": "What happens now that they cannot be used, in words.",
    "catena.credentials.source": "Their folder or file, or the address that needs them.",
    "catena.exit.code": "The exit code of a worker process; negative for a signal.",
    "catena.exit.follows": "In words what its pool does about a worker that has died.",
    "catena.exit.reason": "In words how a worker process ended, or why another one took its place.",
    "catena.frame.kind": "The kind of the frame that was being processed.",
    "catena.frame.seq": "The number of that frame in its direction, from 1.",
    "catena.lease.id": "One use of a proxy, 16 bytes in hexadecimal.",
    "catena.manifest.bytes": "How many bytes the entries of the manifest took.",
    "catena.manifest.kind": "`whole` (all of the chain) or `delta` (only changes).",
    "catena.mount.direction": "`to_worker`, `to_caller`, or `out` for an unmount.",
    "catena.nack.code": "Why a worker refused a call: a small enumeration of the protocol.",
    "catena.outcome": "`done`, `failed`, `cancelled` or `abandoned`; of a reset `ok`, `used`, "
    "`foreign` or `orphan`; of a lease `built` or `cached`; of a submission `added` or `present`; "
    "of a task's run also `parked`, when the engine has put it off.",
    "catena.owner.call": "The call that the owner of the chain works for or waits for.",
    "catena.owner.process": "The process of the owner, always that of the contender, too.",
    "catena.owner.task": "The name of the task that runs the chain, where there is one.",
    "catena.owner.thread": "The thread that runs the chain.",
    "catena.peer.id": "The process on the other side of a link.",
    "catena.peer.lacking": "The capabilities of this process that the other side of a link lacks.",
    "catena.peer.version": "The software version of the other side.",
    "catena.pending": "`true` on a span that shows a call when it begins, with an id of its own "
    "and a link to the span of the call; made where pending spans are switched on.",
    "catena.protocol.version": "The protocol version of the other side.",
    "catena.proxy.cached": "Whether an earlier call of the same link used the proxy.",
    "catena.proxy.id": "The pool that a proxy leads to, in hexadecimal.",
    "catena.proxy.source": "By which path the proxy goes along: on the `chain`, in `fields` of "
    "the Task for peers of release 0.1, or as a route in the `snapshot` of a background task.",
    "catena.refusal.reason": "Why a peer was refused, unless it did not know the secret.",
    "catena.routine.kill_after": "How many seconds after its timeout a routine's worker is killed.",
    "catena.serialization.direction": "Where it failed: when it was to be `sent`, when it was "
    "`read`, or when the routine was `loaded`.",
    "catena.stream": "Whether the routine is an async generator.",
    "catena.token.id": "The token, 16 bytes in hexadecimal.",
    "catena.var": "The key of the variable: its namespace and its name.",
    "catena.vars.reset": "The keys of the variables that were unbound, at most a hundred.",
    "catena.vars.set": "The keys of the variables that were bound, at most a hundred.",
    "catena.version.local": "Major and minor version of the protocol here.",
    "catena.version.remote": "That of the peer; empty before the first refusal.",
    "catena.wait.calls": "How many calls wait for the same, the call itself among them.",
    "catena.wait.cause": "What a call waits for, in words.",
    "catena.wait.seconds": "For how many seconds the call has waited.",
    "catena.worker.cause": "Why a worker does not answer, in words.",
    "catena.worker.id": "The worker that runs the call, or that wrote the record.",
    "catena.log.records": "How many log records of a worker were dropped.",
    "catena.member.source": "Who knows of a worker that the pool did not start: `discovery` "
    "or `launcher`.",
    "catena.record.expected": "The worker that a member record names.",
    "catena.worker.replacement": "The worker that took the place of another one.",
    "catena.worker.silence": "For how many seconds a worker had not answered.",
    "code.function.name": "The full name of the routine, or of the function of a task.",
    "code.stacktrace": "Where a worker's event loop is blocked, innermost call first.",
    "error.type": "The class of the error; as a label the first 100, then `_OTHER`.",
    "exception.message": "The text of the error; only where messages are recorded.",
    "catena.producer.version": "The version of Catena that submitted a task.",
    "catena.queue": "The name of the queue of a task.",
    "catena.queue.request": "What was asked of a queue, in words.",
    "catena.queue.workers": "The names of workers of a queue that mount no snapshots.",
    "catena.snapshot.age": "How many seconds before the run its snapshot was captured.",
    "catena.snapshot.bytes": "How many bytes the snapshot of a task takes.",
    "catena.snapshot.fault": "What is wrong with the snapshot of a task, in one word.",
    "catena.snapshot.follows": "Whether the task runs without context, or fails, in words.",
    "catena.task.attempt": "Which attempt at the task it is, from 1.",
    "messaging.destination.name": "The full name of the routine that a task runs.",
    "messaging.message.id": "The key of a task.",
    "messaging.operation.name": "`send` for a submission, `process` for a run.",
    "messaging.operation.type": "The same.",
    "messaging.system": "`docket`.",
    "process.pid": "The process id of a worker; on records of `catena.audit`, that of the writer.",
    "rpc.method": "The routine's full name; as a label the first 500, then `_OTHER`.",
    "rpc.status_code": "How the call ended, in the words of gRPC.",
    "rpc.system.name": "`catena`.",
    "server.address": "Where the worker listens: the path of a Unix socket.",
}

LABELS: dict[str, str] = {
    "catena.producer.release": "The release that submitted a task, such as `0.3`; `none` without a "
    "snapshot.",
    "catena.direction": "The direction, such as `sent` or `read`, `to_worker` or `to_caller`.",
    "catena.kind": "The kind of what is counted: of a frame, a manifest or a contention.",
    "catena.reason": "Why telemetry was lost.",
    "catena.signal": "What was lost: `traces`, `metrics` or `logs`.",
    "catena.source": "By which path a proxy came: on the `chain`, or in `fields` of the Task.",
    "catena.state": "The state of a worker, of its calls, or of a lease: it is `outlived` when its "
    "call has ended.",
}
"""What only labels of metrics say; those that attributes say as well mean the same there."""
