"""The vocabulary of what the core announces: one small class for each thing that happens.

Facts are in the past tense, operations are nouns, refusals carry the error that is raised with
them. Ids are bytes here, as in the core; whoever shows them turns them into hexadecimal.
"""

from __future__ import annotations

from catena.events.facts import (
    CallNacked,
    CallRetried,
    ChainForked,
    EntryLost,
    ForwardDropped,
    FrameDropped,
    KeysUndeclared,
    LinkClosed,
    LinkOpened,
    LogRecordsDropped,
    LoopTicked,
    RoutineOverran,
    TokenReset,
    Unmounted,
    WorkerExited,
    WorkerGivenUp,
    WorkerRecovered,
    WorkerReplaced,
    WorkerStarted,
    WorkerSuspected,
)
from catena.events.operations import (
    Attempt,
    Dispatch,
    Endpoints,
    Execution,
    Lease,
    Mount,
    Named,
    ServedCall,
)
from catena.events.refusals import (
    ContentionRefused,
    ContentionUnhandled,
    FactoryDisplaced,
    PeerVersionRefused,
    SerializationFailed,
    announce_unhandled_contention,
    announced,
)

__all__ = [
    "Attempt",
    "CallNacked",
    "CallRetried",
    "ChainForked",
    "ContentionRefused",
    "ContentionUnhandled",
    "Dispatch",
    "Endpoints",
    "EntryLost",
    "Execution",
    "FactoryDisplaced",
    "ForwardDropped",
    "FrameDropped",
    "KeysUndeclared",
    "Lease",
    "LinkClosed",
    "LinkOpened",
    "LogRecordsDropped",
    "LoopTicked",
    "Mount",
    "Named",
    "PeerVersionRefused",
    "RoutineOverran",
    "SerializationFailed",
    "ServedCall",
    "TokenReset",
    "Unmounted",
    "WorkerExited",
    "WorkerGivenUp",
    "WorkerRecovered",
    "WorkerReplaced",
    "WorkerStarted",
    "WorkerSuspected",
    "announce_unhandled_contention",
    "announced",
]
