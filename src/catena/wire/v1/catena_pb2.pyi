from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AskRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StopRequest(_message.Message):
    __slots__ = ("now",)
    NOW_FIELD_NUMBER: _ClassVar[int]
    now: bool
    def __init__(self, now: bool = ...) -> None: ...

class StopReply(_message.Message):
    __slots__ = ("refusal", "status")
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    refusal: str
    status: Status
    def __init__(self, refusal: _Optional[str] = ..., status: _Optional[_Union[Status, _Mapping]] = ...) -> None: ...

class Status(_message.Message):
    __slots__ = ("worker", "address", "state", "pid", "seconds", "major", "minor", "software", "capabilities", "tags", "slots", "slots_taken", "calls", "leases", "links", "refusals", "peers")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Status.State]
        READY: _ClassVar[Status.State]
        DRAINING: _ClassVar[Status.State]
    STATE_UNSPECIFIED: Status.State
    READY: Status.State
    DRAINING: Status.State
    WORKER_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    MAJOR_FIELD_NUMBER: _ClassVar[int]
    MINOR_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_TAKEN_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    worker: str
    address: str
    state: Status.State
    pid: int
    seconds: float
    major: int
    minor: int
    software: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    tags: _containers.RepeatedScalarFieldContainer[str]
    slots: int
    slots_taken: int
    calls: int
    leases: int
    links: int
    refusals: _containers.RepeatedCompositeFieldContainer[Refusal]
    peers: _containers.RepeatedCompositeFieldContainer[Peer]
    def __init__(self, worker: _Optional[str] = ..., address: _Optional[str] = ..., state: _Optional[_Union[Status.State, str]] = ..., pid: _Optional[int] = ..., seconds: _Optional[float] = ..., major: _Optional[int] = ..., minor: _Optional[int] = ..., software: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ..., tags: _Optional[_Iterable[str]] = ..., slots: _Optional[int] = ..., slots_taken: _Optional[int] = ..., calls: _Optional[int] = ..., leases: _Optional[int] = ..., links: _Optional[int] = ..., refusals: _Optional[_Iterable[_Union[Refusal, _Mapping]]] = ..., peers: _Optional[_Iterable[_Union[Peer, _Mapping]]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("kind", "by", "whom", "reason", "times", "at")
    KIND_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    WHOM_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    by: str
    whom: str
    reason: str
    times: int
    at: float
    def __init__(self, kind: _Optional[str] = ..., by: _Optional[str] = ..., whom: _Optional[str] = ..., reason: _Optional[str] = ..., times: _Optional[int] = ..., at: _Optional[float] = ...) -> None: ...

class Peer(_message.Message):
    __slots__ = ("name", "pid", "major", "minor", "software", "capabilities", "fields")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    MAJOR_FIELD_NUMBER: _ClassVar[int]
    MINOR_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    pid: int
    major: int
    minor: int
    software: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    fields: bool
    def __init__(self, name: _Optional[str] = ..., pid: _Optional[int] = ..., major: _Optional[int] = ..., minor: _Optional[int] = ..., software: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ..., fields: bool = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("frames", "acks", "sent_at_ns")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    ACKS_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_NS_FIELD_NUMBER: _ClassVar[int]
    frames: _containers.RepeatedCompositeFieldContainer[Frame]
    acks: _containers.RepeatedScalarFieldContainer[int]
    sent_at_ns: int
    def __init__(self, frames: _Optional[_Iterable[_Union[Frame, _Mapping]]] = ..., acks: _Optional[_Iterable[int]] = ..., sent_at_ns: _Optional[int] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("call", "kind", "payload", "manifest", "more", "after_cancel", "function", "proxy_id", "task", "nack", "hello", "goodbye", "piece", "driven", "carrier", "trace", "cancel", "ping", "slots", "base")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Frame.Kind]
        TASK: _ClassVar[Frame.Kind]
        STREAM: _ClassVar[Frame.Kind]
        NEXT: _ClassVar[Frame.Kind]
        SEND: _ClassVar[Frame.Kind]
        THROW: _ClassVar[Frame.Kind]
        CANCEL: _ClassVar[Frame.Kind]
        NACK: _ClassVar[Frame.Kind]
        RESULT: _ClassVar[Frame.Kind]
        EXCEPTION: _ClassVar[Frame.Kind]
        HELLO: _ClassVar[Frame.Kind]
        GOODBYE: _ClassVar[Frame.Kind]
        PIECE: _ClassVar[Frame.Kind]
        PING: _ClassVar[Frame.Kind]
        PONG: _ClassVar[Frame.Kind]
        WANT: _ClassVar[Frame.Kind]
        OFFER: _ClassVar[Frame.Kind]
        DECLINE: _ClassVar[Frame.Kind]
        MEMBERS: _ClassVar[Frame.Kind]
    KIND_UNSPECIFIED: Frame.Kind
    TASK: Frame.Kind
    STREAM: Frame.Kind
    NEXT: Frame.Kind
    SEND: Frame.Kind
    THROW: Frame.Kind
    CANCEL: Frame.Kind
    NACK: Frame.Kind
    RESULT: Frame.Kind
    EXCEPTION: Frame.Kind
    HELLO: Frame.Kind
    GOODBYE: Frame.Kind
    PIECE: Frame.Kind
    PING: Frame.Kind
    PONG: Frame.Kind
    WANT: Frame.Kind
    OFFER: Frame.Kind
    DECLINE: Frame.Kind
    MEMBERS: Frame.Kind
    CALL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_CANCEL_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    PROXY_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    NACK_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    DRIVEN_FIELD_NUMBER: _ClassVar[int]
    CARRIER_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    call: int
    kind: Frame.Kind
    payload: bytes
    manifest: bytes
    more: bool
    after_cancel: bool
    function: int
    proxy_id: bytes
    task: Task
    nack: Nack
    hello: Hello
    goodbye: Goodbye
    piece: Piece
    driven: bool
    carrier: Carrier
    trace: str
    cancel: Cancel
    ping: Ping
    slots: Slots
    base: int
    def __init__(self, call: _Optional[int] = ..., kind: _Optional[_Union[Frame.Kind, str]] = ..., payload: _Optional[bytes] = ..., manifest: _Optional[bytes] = ..., more: bool = ..., after_cancel: bool = ..., function: _Optional[int] = ..., proxy_id: _Optional[bytes] = ..., task: _Optional[_Union[Task, _Mapping]] = ..., nack: _Optional[_Union[Nack, _Mapping]] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ..., piece: _Optional[_Union[Piece, _Mapping]] = ..., driven: bool = ..., carrier: _Optional[_Union[Carrier, _Mapping]] = ..., trace: _Optional[str] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., slots: _Optional[_Union[Slots, _Mapping]] = ..., base: _Optional[int] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("callable", "routine", "proxy", "proxy_id", "timeout_ns", "credit", "dispatch_timeout_ns", "sent_at_ns", "slots", "offered", "kill_after_ns")
    CALLABLE_FIELD_NUMBER: _ClassVar[int]
    ROUTINE_FIELD_NUMBER: _ClassVar[int]
    PROXY_FIELD_NUMBER: _ClassVar[int]
    PROXY_ID_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_NS_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    DISPATCH_TIMEOUT_NS_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_NS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    OFFERED_FIELD_NUMBER: _ClassVar[int]
    KILL_AFTER_NS_FIELD_NUMBER: _ClassVar[int]
    callable: bytes
    routine: str
    proxy: bytes
    proxy_id: bytes
    timeout_ns: int
    credit: int
    dispatch_timeout_ns: int
    sent_at_ns: int
    slots: int
    offered: bool
    kill_after_ns: int
    def __init__(self, callable: _Optional[bytes] = ..., routine: _Optional[str] = ..., proxy: _Optional[bytes] = ..., proxy_id: _Optional[bytes] = ..., timeout_ns: _Optional[int] = ..., credit: _Optional[int] = ..., dispatch_timeout_ns: _Optional[int] = ..., sent_at_ns: _Optional[int] = ..., slots: _Optional[int] = ..., offered: bool = ..., kill_after_ns: _Optional[int] = ...) -> None: ...

class Nack(_message.Message):
    __slots__ = ("code", "text", "slots")
    class Code(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CODE_UNSPECIFIED: _ClassVar[Nack.Code]
        UNKNOWN: _ClassVar[Nack.Code]
        UNLOADABLE: _ClassVar[Nack.Code]
        DRAINING: _ClassVar[Nack.Code]
        BUSY: _ClassVar[Nack.Code]
        FORBIDDEN: _ClassVar[Nack.Code]
    CODE_UNSPECIFIED: Nack.Code
    UNKNOWN: Nack.Code
    UNLOADABLE: Nack.Code
    DRAINING: Nack.Code
    BUSY: Nack.Code
    FORBIDDEN: Nack.Code
    CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    code: Nack.Code
    text: str
    slots: int
    def __init__(self, code: _Optional[_Union[Nack.Code, str]] = ..., text: _Optional[str] = ..., slots: _Optional[int] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("major", "minor", "software", "capabilities", "peer", "pid", "boot", "tags", "secret", "slots")
    MAJOR_FIELD_NUMBER: _ClassVar[int]
    MINOR_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    BOOT_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    major: int
    minor: int
    software: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    peer: str
    pid: int
    boot: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    secret: bytes
    slots: int
    def __init__(self, major: _Optional[int] = ..., minor: _Optional[int] = ..., software: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ..., peer: _Optional[str] = ..., pid: _Optional[int] = ..., boot: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., secret: _Optional[bytes] = ..., slots: _Optional[int] = ...) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Ping(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class Slots(_message.Message):
    __slots__ = ("slots",)
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    slots: int
    def __init__(self, slots: _Optional[int] = ...) -> None: ...

class Piece(_message.Message):
    __slots__ = ("transfer", "data", "last", "total")
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    transfer: int
    data: bytes
    last: bool
    total: int
    def __init__(self, transfer: _Optional[int] = ..., data: _Optional[bytes] = ..., last: bool = ..., total: _Optional[int] = ...) -> None: ...

class Proxy(_message.Message):
    __slots__ = ("id", "members", "epoch", "major")
    class Member(_message.Message):
        __slots__ = ("worker", "target", "found", "tags", "shared", "leaf")
        WORKER_FIELD_NUMBER: _ClassVar[int]
        TARGET_FIELD_NUMBER: _ClassVar[int]
        FOUND_FIELD_NUMBER: _ClassVar[int]
        TAGS_FIELD_NUMBER: _ClassVar[int]
        SHARED_FIELD_NUMBER: _ClassVar[int]
        LEAF_FIELD_NUMBER: _ClassVar[int]
        worker: str
        target: str
        found: bool
        tags: _containers.RepeatedScalarFieldContainer[str]
        shared: bool
        leaf: bytes
        def __init__(self, worker: _Optional[str] = ..., target: _Optional[str] = ..., found: bool = ..., tags: _Optional[_Iterable[str]] = ..., shared: bool = ..., leaf: _Optional[bytes] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MAJOR_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    members: _containers.RepeatedCompositeFieldContainer[Proxy.Member]
    epoch: int
    major: int
    def __init__(self, id: _Optional[bytes] = ..., members: _Optional[_Iterable[_Union[Proxy.Member, _Mapping]]] = ..., epoch: _Optional[int] = ..., major: _Optional[int] = ...) -> None: ...

class Manifest(_message.Message):
    __slots__ = ("chain_id", "parent_id", "delta", "entries", "ledgers", "carrier", "base", "name")
    CHAIN_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    LEDGERS_FIELD_NUMBER: _ClassVar[int]
    CARRIER_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    chain_id: bytes
    parent_id: bytes
    delta: bool
    entries: bytes
    ledgers: Ledgers
    carrier: Carrier
    base: int
    name: int
    def __init__(self, chain_id: _Optional[bytes] = ..., parent_id: _Optional[bytes] = ..., delta: bool = ..., entries: _Optional[bytes] = ..., ledgers: _Optional[_Union[Ledgers, _Mapping]] = ..., carrier: _Optional[_Union[Carrier, _Mapping]] = ..., base: _Optional[int] = ..., name: _Optional[int] = ...) -> None: ...

class Ledgers(_message.Message):
    __slots__ = ("spent", "live")
    SPENT_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    spent: _containers.RepeatedScalarFieldContainer[bytes]
    live: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, spent: _Optional[_Iterable[bytes]] = ..., live: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Carrier(_message.Message):
    __slots__ = ("fields",)
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    fields: _containers.ScalarMap[str, str]
    def __init__(self, fields: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Entries(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[Entry]
    def __init__(self, entries: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ...) -> None: ...

class Entry(_message.Message):
    __slots__ = ("namespace", "name", "kind", "value", "policy", "default")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Entry.Kind]
        VALUE: _ClassVar[Entry.Kind]
        RESET: _ClassVar[Entry.Kind]
        LOST: _ClassVar[Entry.Kind]
    KIND_UNSPECIFIED: Entry.Kind
    VALUE: Entry.Kind
    RESET: Entry.Kind
    LOST: Entry.Kind
    class Policy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        BOTH: _ClassVar[Entry.Policy]
        FORWARD: _ClassVar[Entry.Policy]
    BOTH: Entry.Policy
    FORWARD: Entry.Policy
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    name: str
    kind: Entry.Kind
    value: bytes
    policy: Entry.Policy
    default: bytes
    def __init__(self, namespace: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[_Union[Entry.Kind, str]] = ..., value: _Optional[bytes] = ..., policy: _Optional[_Union[Entry.Policy, str]] = ..., default: _Optional[bytes] = ...) -> None: ...
