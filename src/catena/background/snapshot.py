"""The snapshot: what surrounded the submission of a task, as one JSON text beside the task.

Its one rule: it is opened in this order, and each step refuses what does not hold. It is JSON of a
known schema; its MAC fits, where there is a secret; it is of this very submission of this very
task; its values can be decrypted, and are a manifest. Until then nothing of it is unpickled.

A submission is a fork: the manifest names a fresh chain, whose parent is the submitter's. Each run
of the task forks from that in turn, since a task may run more than once, and even twice at a time.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from catena.background.persistence import PLAIN, persisted
from catena.background.sealing import Secrets, Unsealable
from catena.dispatch.payloads import values_for
from catena.errors import ProtocolError, SerializationWarning, SnapshotError
from catena.events.carrier import CARRIER_LIMIT, NO_CARRIER, Carrier
from catena.ids import Key, new_id
from catena.task_errors import SnapshotFault
from catena.transfer.capture import capture_fork
from catena.transfer.manifest import ChainManifest, EntryKind
from catena.transfer.problems import Problems, describe_problem, warn_or_raise
from catena.wire.manifests import decode_manifest, encode_manifest, pack_entries, unpack_entries
from catena.wire.versions import SOFTWARE
from catena.wording import reason

SCHEMA = 1
"""The number of the schema that is written, and of the only one that is read."""

NO_ROUTE: Mapping[str, Any] = {}
"""Of a submitter whose pool cannot be found again."""


class SnapshotSaver(Protocol):
    """What keeps the texts of snapshots: a store, as far as one is saved there."""

    async def save_snapshot(self, snapshot: TaskContextSnapshot, text: str, seconds: float) -> None:
        """Keep a text for so many seconds. Raises QueueUnreachable."""
        ...


@dataclass(frozen=True, slots=True)
class TaskContextSnapshot:
    """What a task gets of its submitter.

    ``task_key`` is the task's key, ``submission`` the id of this very submission of it (32
    hexadecimal digits), ``function`` the routine's name. ``manifest`` has the chain's id, its
    parent's and the values, still encoded; ``carrier`` the trace. ``route`` says how the pool of
    the submitter is found. ``producer`` is the submitter's version of Catena, and ``captured_at``
    the time, in seconds since 1970.
    """

    task_key: str
    submission: str
    function: str
    manifest: ChainManifest = field(repr=False)
    producer: str
    captured_at: float
    route: Mapping[str, Any] = field(default_factory=lambda: NO_ROUTE)
    schema: int = SCHEMA

    @classmethod
    def capture(
        cls, task_key: str, function: str, *, strict: bool = False, encrypts: bool = False
    ) -> TaskContextSnapshot:
        """Return what surrounds the running code, for a task.

        A value that cannot be pickled is left out with a SerializationWarning, and so is one that
        is stored encrypted only, unless the queue ``encrypts``; with ``strict`` either raises
        ChainSerializationError. Raises ChainContention when somebody else runs the chain.
        """
        manifest = capture_fork(values_for(strict=strict))
        if manifest.entries and persisted:
            manifest = _leave_out(manifest, strict=strict, encrypts=encrypts)
        if manifest.chain_id:
            manifest = manifest._replace(chain_id=new_id(), parent_id=manifest.chain_id)
        return cls(task_key, new_id().hex(), function, manifest, SOFTWARE, time.time())

    @property
    def chain_id(self) -> bytes:
        """The chain that the runs fork from, empty for a submitter without one."""
        return self.manifest.chain_id

    @property
    def parent_id(self) -> bytes:
        """The submitter's chain, empty without one."""
        return self.manifest.parent_id

    @property
    def carrier(self) -> Carrier:
        """The trace that the submission belongs to, empty without one."""
        return self.manifest.carrier

    @property
    def values(self) -> dict[Key, Any]:
        """The values by their variables' keys, unpickled anew each time.

        What cannot be unpickled is left out, as a variable without a value is.
        """
        found: dict[Key, Any] = {}
        values = values_for(strict=False)
        for entry in unpack_entries(self.manifest.entries) if self.manifest.entries else ():
            if entry.kind is EntryKind.VALUE:
                try:
                    found[entry.key] = values.loads(entry.value)
                except Exception as error:
                    describe_problem(entry.key, error, "read")
        return found

    def to_json(
        self, *, key: bytes | tuple[bytes, ...] | Secrets | None = None, encrypt: bool = False
    ) -> str:
        """Return the snapshot as JSON: with a ``key`` under a MAC, and if asked for encrypted.

        Raises ValueError for ``encrypt`` without a key, and what ``Secrets`` raises for a bad one.
        """
        secrets = _secrets_of(key)
        if encrypt and secrets is None:
            raise ValueError("encrypt needs a secret")
        body: dict[str, Any] = {
            "schema": self.schema,
            "task": self.task_key,
            "submission": self.submission,
            "function": self.function,
            "chain": self.chain_id.hex(),
            "parent": self.parent_id.hex(),
            "producer": self.producer,
            "captured_at": self.captured_at,
            "carrier": dict(self.carrier),
            "route": dict(self.route),
        }
        data = encode_manifest(self.manifest.carrying(NO_CARRIER))
        if encrypt and secrets is not None:
            body["sealed"] = _to_text(secrets.encrypt(data, _canonical(body)))
        else:
            body["manifest"] = _to_text(data)
        if secrets is not None:
            body["mac"] = secrets.sign(_canonical(body))
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(
        cls,
        text: str | bytes,
        *,
        key: bytes | tuple[bytes, ...] | Secrets | None = None,
        task_key: str = "",
        submission: str = "",
    ) -> TaskContextSnapshot:
        """Return the snapshot that a text is; with a ``key`` only when its MAC fits.

        Raises SnapshotError, also where it is not that of the ``task_key`` and the ``submission``
        which are given.
        """
        return _Reader(text, _secrets_of(key), task_key, submission).read()

    async def save(
        self,
        store: SnapshotSaver,
        *,
        seconds: float,
        key: bytes | tuple[bytes, ...] | Secrets | None = None,
        encrypt: bool = False,
    ) -> None:
        """Have a store keep it for so many seconds. Raises QueueUnreachable."""
        await store.save_snapshot(self, self.to_json(key=key, encrypt=encrypt), seconds)


class _Reader:
    """Opens one text, step by step."""

    def __init__(
        self, text: str | bytes, secrets: Secrets | None, task_key: str, submission: str
    ) -> None:
        self._text = text
        self._secrets = secrets
        self._task_key = task_key
        self._submission = submission

    def read(self) -> TaskContextSnapshot:
        """Return the snapshot. Raises SnapshotError."""
        body = self._parse()
        self._check_schema(body)
        self._check_mac(body)
        self._check_owner(body)
        try:
            data = self._open_values(body)
            manifest = decode_manifest(data)
            return TaskContextSnapshot(
                body["task"],
                body["submission"],
                str(body["function"]),
                manifest.carrying(_read_carrier(body["carrier"])),
                str(body["producer"]),
                float(body["captured_at"]),
                dict(body["route"]),
            )
        except (KeyError, TypeError, ValueError, ProtocolError) as error:
            raise self._refuse("unreadable", reason(error)) from error

    def _parse(self) -> dict[str, Any]:
        try:
            body = json.loads(self._text)
        except (ValueError, RecursionError) as error:
            raise self._refuse("unreadable", reason(error)) from error
        if not isinstance(body, dict):
            raise self._refuse("unreadable", f"it is a {type(body).__name__}")
        return cast("dict[str, Any]", body)

    def _check_schema(self, body: Mapping[str, Any]) -> None:
        schema = body.get("schema", 0)
        if type(schema) is not int:
            raise self._refuse("unreadable", "its schema is no number")
        if schema < SCHEMA:
            raise self._refuse("legacy", f"its schema is {schema}, and the oldest read is {SCHEMA}")
        if schema > SCHEMA:
            by = f"; Catena {body['producer']} wrote it" if "producer" in body else ""
            raise self._refuse("newer", f"its schema is {schema}, and {SCHEMA} is known here{by}")

    def _check_mac(self, body: dict[str, Any]) -> None:
        mac = body.pop("mac", None)
        if self._secrets is None:
            return
        if not isinstance(mac, str):
            raise self._refuse("unauthenticated", "it has no MAC, and this queue has a secret")
        if not self._secrets.verify(_canonical(body), mac):
            raise self._refuse("unauthenticated", "its MAC fits none of the secrets of this queue")

    def _check_owner(self, body: Mapping[str, Any]) -> None:
        asked = (self._task_key, self._submission)
        for wanted, found in zip(asked, (body.get("task"), body.get("submission")), strict=True):
            if not isinstance(found, str):
                raise self._refuse("unreadable", "it does not say whose it is")
            if wanted and wanted != found:
                raise self._refuse("stale", f"it is of task {body['task']}, or of another round")

    def _open_values(self, body: dict[str, Any]) -> bytes:
        sealed = body.pop("sealed", None)
        if sealed is None:
            return _from_text(body["manifest"])
        if self._secrets is None:
            raise self._refuse("undecryptable", "it is encrypted, and this queue has no secret")
        try:
            return self._secrets.decrypt(_from_text(sealed), _canonical(body))
        except Unsealable:
            cause = "none of the secrets of this queue decrypts it"
            raise self._refuse("undecryptable", cause) from None

    def _refuse(self, fault: SnapshotFault, cause: str) -> SnapshotError:
        return SnapshotError(task=self._task_key, fault=fault, cause=cause)


def _leave_out(manifest: ChainManifest, *, strict: bool, encrypts: bool) -> ChainManifest:
    """Return a manifest without the values that may not be stored.

    Those that may be stored encrypted only are named in warnings.
    """
    kept: list[Any] = []
    problems: Problems = []
    entries = unpack_entries(manifest.entries)
    for entry in entries:
        persist = persisted.get(entry.key, PLAIN).persist
        if persist == "plain" or (persist == "encrypted" and encrypts):
            kept.append(entry)
        elif persist == "encrypted":
            cause = "it is stored encrypted only; give the queue a secret and encrypt=True"
            problems.append(SerializationWarning(key=entry.key, doing="sent", cause=cause))
    warn_or_raise(problems, strict=strict)
    if len(kept) == len(entries):
        return manifest
    return manifest._replace(entries=pack_entries(kept))


def _secrets_of(key: bytes | tuple[bytes, ...] | Secrets | None) -> Secrets | None:
    return key if key is None or isinstance(key, Secrets) else Secrets(key)


def _canonical(body: Mapping[str, Any]) -> bytes:
    """Return what a MAC is made of: the same text for the same facts."""
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def _read_carrier(found: Any) -> Carrier:
    carrier = {str(name): str(value) for name, value in found.items()}
    size = sum(len(name) + len(value) for name, value in carrier.items())
    return carrier if size <= CARRIER_LIMIT else NO_CARRIER


def _to_text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _from_text(text: Any) -> bytes:
    return base64.b64decode(text, validate=True)
