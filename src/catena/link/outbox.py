"""What waits to be sent, and how it is cut into messages; what arrives in pieces, put together.

Small frames leave in order. A frame that is too long for one message leaves in pieces, the
transfers taking turns, so that a large payload delays nobody else; the later frames of its own
call wait behind it.
"""

from __future__ import annotations

from collections import deque
from itertools import count

from catena.errors import ProtocolError
from catena.wire import codec
from catena.wire.frames import Frame, Piece

__all__ = ["FRAME_LIMIT", "Joiner", "Outbox"]

PIECE_BYTES = 64 * 1024
MESSAGE_FRAMES = 128
"""More would let the other side wait for work that could have begun; fewer cost messages."""

MESSAGE_BYTES = 512 * 1024
FRAME_LIMIT = 1 << 30
"""The most bytes of one frame (arguments or result with their chain): 1 GiB."""

LINK_LIMIT = 2 << 30
"""The most bytes that one link keeps of frames that have not arrived whole: 2 GiB."""


class Outbox:
    """Frames on their way out; ``bytes`` says about how many bytes wait."""

    __slots__ = ("_serial", "_small", "_transfers", "bytes")

    def __init__(self) -> None:
        self._small: deque[Frame] = deque()
        self._transfers: dict[int, deque[Frame]] = {}
        self._serial = count(1)
        self.bytes = 0

    def __bool__(self) -> bool:
        return bool(self._small or self._transfers)

    def put(self, frame: Frame) -> None:
        """Queue a frame."""
        size = frame.weight
        self.bytes += size
        if size <= PIECE_BYTES and not self._transfers:
            self._small.append(frame)
        elif size > PIECE_BYTES:
            queue = self._transfers.setdefault(frame.call, deque())
            queue.extend(_cut(frame, next(self._serial)))
        elif frame.call in self._transfers:
            self._transfers[frame.call].append(frame)
        else:
            self._small.append(frame)

    def take(self) -> list[Frame]:
        """Return what goes into the next message, at most 128 frames and some 512 KiB."""
        batch: list[Frame] = []
        size = 0
        small = self._small
        if not self._transfers and len(small) <= MESSAGE_FRAMES and self.bytes < MESSAGE_BYTES:
            batch.extend(small)
            small.clear()
            self.bytes = 0
            return batch
        # However many small frames there are, one place is left for the transfers.
        places = MESSAGE_FRAMES - bool(self._transfers)
        while small and len(batch) < places and size < MESSAGE_BYTES:
            batch.append(small.popleft())
            size += batch[-1].weight
        first = True
        while self._transfers and (first or size < MESSAGE_BYTES) and len(batch) < MESSAGE_FRAMES:
            first = False
            batch.append(self._next_of_transfers())
            size += batch[-1].weight
        self.bytes = max(0, self.bytes - size) if self else 0
        return batch

    def _next_of_transfers(self) -> Frame:
        call, queue = next(iter(self._transfers.items()))
        del self._transfers[call]
        frame = queue.popleft()
        if queue:
            self._transfers[call] = queue
        return frame


class Joiner:
    """Puts pieces together; ``bytes`` says how many it holds."""

    __slots__ = ("_parts", "bytes")

    def __init__(self) -> None:
        self._parts: dict[int, bytearray] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._parts)

    def add(self, piece: Piece) -> Frame | None:
        """Take a piece; return the frame that it completes, if it does.

        Raises ProtocolError when a frame, or all that are under way, exceed their limits, or when
        what arrived is not what was announced.
        """
        if piece.total > FRAME_LIMIT:
            raise ProtocolError(reason=f"a frame of {piece.total} bytes exceeds {FRAME_LIMIT}")
        if self.bytes + len(piece.data) > LINK_LIMIT:
            raise ProtocolError(reason=f"frames under way exceed {LINK_LIMIT} bytes")
        whole = self._parts.setdefault(piece.transfer, bytearray())
        whole += piece.data
        self.bytes += len(piece.data)
        if len(whole) > piece.total or (piece.last and len(whole) != piece.total):
            raise ProtocolError(reason=f"{piece.total} bytes were announced, {len(whole)} came")
        if not piece.last:
            return None
        del self._parts[piece.transfer]
        self.bytes -= len(whole)
        return codec.decode_frame(bytes(whole))


def _cut(frame: Frame, transfer: int) -> list[Frame]:
    data = codec.encode_frame(frame)
    total = len(data)
    return [
        Piece(frame.call, transfer, data[at : at + PIECE_BYTES], at + PIECE_BYTES >= total, total)
        for at in range(0, total, PIECE_BYTES)
    ]
