"""Frames that wait to be sent, cut into messages; and frames that arrive in pieces, put together.

Small frames leave in order. A long frame is cut into small pieces only when other calls have
something to send. While one call has the link to itself, its frames of up to WHOLE_BYTES leave
whole, and longer ones in pieces of that size. As soon as a frame of another call is queued, too,
long frames are cut into pieces of PIECE_BYTES that take turns, so that a large payload delays no
other call; this goes on for the next SHARED_MESSAGES messages. The later frames of a call always
wait behind its long ones. The number of transfers at a time is limited, so that the other side can
keep them within its limits, however much is queued here.

Cutting costs copies. A payload that leaves whole is copied six times between the pickle and the
unpickler: at the sender into a protobuf message, then into bytes, then into gRPC's buffer; at the
receiver from gRPC's buffer into bytes, then into a message, then into the payload. In pieces it is
copied twelve times: the sender also encodes the frame (two copies) and slices it before, and the
receiver also takes out the pieces, gathers and decodes them (three copies) before the payload is
read.
"""

from __future__ import annotations

import io
from collections import deque
from itertools import count
from typing import Any

from catena.errors import ProtocolError
from catena.wire import codec
from catena.wire.frames import Frame, Piece

PIECE_BYTES = 64 << 10
"""A longer frame is cut while others have something to send."""

WHOLE_BYTES = 2 << 20
"""A longer frame is always cut: with the small frames beside it, a message stays below the 4 MiB
that gRPC takes."""

SHARED_MESSAGES = 32
"""For how many messages a link counts as shared after two calls had frames waiting at once."""

MESSAGE_FRAMES = 128
"""More would let the other side wait for work that could have begun; fewer cost messages."""

MESSAGE_BYTES = 512 << 10
FRAME_LIMIT = 1 << 30
"""The most bytes of one frame (arguments or result with their chain): 1 GiB."""

TOGETHER_BYTES = 64 << 20
"""Transfers take turns while they have so many bytes together; a longer one is the only such."""

LINK_LIMIT = 2 << 30
"""The most bytes that one link keeps of frames that have not arrived whole: 2 GiB."""

TRANSFER_LIMIT = 4096
"""The most frames that may be on their way in pieces: more than twice what an Outbox begins."""


class FrameTooLong(Exception):
    """A frame is longer than the other side would take."""

    def __init__(self, size: int) -> None:
        super().__init__(f"it takes {size:,} bytes, and the limit is {FRAME_LIMIT:,}")


class _Transfer:
    """A long frame on its way, whole or in pieces; each is cut when its turn comes.

    ``data`` is the encoded frame, empty until it is cut. One that may not leave whole is encoded
    when it is queued, so that its call ends at once where that fails.
    """

    __slots__ = ("at", "data", "frame", "number", "size")

    def __init__(self, frame: Frame, size: int, number: int) -> None:
        self.frame, self.size, self.number = frame, size, number
        self.at = 0
        self.data = b""
        if size > WHOLE_BYTES:
            self.data = codec.encode_frame(frame)
            self.size = len(self.data)

    def cut_piece(self, most: int) -> Frame:
        """Return the frame itself where it takes at most so many bytes, else its next piece."""
        if not self.data:
            if self.size <= most:
                return self.frame
            try:
                self.data = codec.encode_frame(self.frame)
            except Exception:
                # The link finds out which frame of a message does not leave, and why.
                return self.frame
        total = len(self.data)
        data = self.data[self.at : self.at + most]
        self.at += len(data)
        return Piece(self.frame.call, self.number, data, self.at >= total, total)


class Outbox:
    """Frames on their way out; ``bytes`` says about how many wait, and is 0 where none do."""

    def __init__(self) -> None:
        self._small: deque[Frame] = deque()
        # What waits of each call that has a transfer, and the calls whose turn comes.
        self._queues: dict[int, deque[Frame | _Transfer]] = {}
        self._turns: deque[int] = deque()
        # Calls whose transfer may not begin yet: those that share, and those that go alone.
        self._lines: tuple[deque[int], deque[int]] = (deque(), deque())
        self._together = 0
        self._alone = False
        self._serial = count(1)
        # The call that had the link to itself when nothing waited, and for how many messages more
        # others count as being there, too.
        self._sole = 0
        self._shared = 0
        self.bytes = 0

    def put(self, frame: Frame) -> None:
        """Queue a frame.

        Raises FrameTooLong, and what encoding a long frame raises; nothing has been queued then.
        """
        size, call = frame.weight, frame.call
        if size > PIECE_BYTES:
            self._put_transfer(frame, size)
        elif self._queues and call in self._queues:
            self._queues[call].append(frame)
        else:
            self._small.append(frame)
        if not self.bytes:
            self._sole = call
        elif call != self._sole:
            self._shared = SHARED_MESSAGES
        self.bytes += size

    def take(self) -> list[Frame]:
        """Return what goes into the next message: at most 128 frames, and one long one if alone."""
        batch: list[Frame] = []
        size = 0
        small, most = self._small, WHOLE_BYTES
        if self._shared:
            self._shared -= 1
            most = PIECE_BYTES
        if not self._queues and len(small) <= MESSAGE_FRAMES and self.bytes < MESSAGE_BYTES:
            batch.extend(small)
            small.clear()
            self.bytes = 0
            return batch
        # However many small frames there are, one place is left for the transfers.
        places = MESSAGE_FRAMES - bool(self._turns)
        while small and len(batch) < places and size < MESSAGE_BYTES:
            batch.append(small.popleft())
            size += batch[-1].weight
        first = True
        while self._turns and (first or size < MESSAGE_BYTES) and len(batch) < MESSAGE_FRAMES:
            first = False
            batch.append(self._next_of_transfers(most))
            size += batch[-1].weight
        # Never 0 while something waits, however inexact the weights are.
        self.bytes = max(1, self.bytes - size) if small or self._queues else 0
        return batch

    @property
    def count(self) -> int:
        """How many frames wait, without those that wait behind a long one of their call."""
        return len(self._small) + len(self._queues)

    def clear(self) -> None:
        """Let go of everything: nobody will take it any more."""
        self.__init__()

    def _put_transfer(self, frame: Frame, size: int) -> None:
        """Queue a long frame; its size is looked at before and after encoding it."""
        if size > FRAME_LIMIT:
            raise FrameTooLong(size)
        transfer = _Transfer(frame, size, next(self._serial))
        if transfer.size > FRAME_LIMIT:
            raise FrameTooLong(transfer.size)
        queue = self._queues.setdefault(frame.call, deque())
        queue.append(transfer)
        if len(queue) == 1:
            self._line_up(frame.call)

    def _next_of_transfers(self, most: int) -> Frame:
        call = self._turns.popleft()
        queue = self._queues[call]
        head = queue[0]
        if type(head) is _Transfer:
            frame: Any = head.cut_piece(most)
            if frame is head.frame or frame.last:
                queue.popleft()
                self._finish_transfer(head)
        else:
            frame = queue.popleft()
        if queue:
            self._line_up(call)
        else:
            del self._queues[call]
        return frame

    def _line_up(self, call: int) -> None:
        """Give a call its next turn, or let it wait until the transfer that is next may begin."""
        head = self._queues[call][0]
        if type(head) is not _Transfer or head.at:
            self._turns.append(call)
            return
        line = self._lines[head.size > TOGETHER_BYTES]
        line.append(call)
        self._begin_transfers(line)

    def _begin_transfers(self, line: deque[int]) -> None:
        """Begin the transfers of a line for which there is room, in their order."""
        while line:
            head = self._queues[line[0]][0]
            if type(head) is not _Transfer or not self._has_room(head.size):
                return
            if head.size > TOGETHER_BYTES:
                self._alone = True
            else:
                self._together += head.size
            self._turns.append(line.popleft())

    def _has_room(self, total: int) -> bool:
        if total > TOGETHER_BYTES:
            return not self._alone
        return self._together + total <= TOGETHER_BYTES

    def _finish_transfer(self, last: _Transfer) -> None:
        if last.size > TOGETHER_BYTES:
            self._alone = False
        else:
            self._together -= last.size
        for line in self._lines:
            self._begin_transfers(line)


class _Part:
    """A frame that has not arrived whole."""

    __slots__ = ("buffer", "came", "total")

    def __init__(self, total: int) -> None:
        self.buffer = io.BytesIO()
        self.came = 0
        self.total = total


class Joiner:
    """Puts pieces together; ``bytes`` says how many it holds, ``announced`` how many will come."""

    def __init__(self) -> None:
        self._parts: dict[int, _Part] = {}
        self.announced = 0
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._parts)

    def add(self, piece: Piece) -> Frame | None:
        """Take a piece; return the frame that it completes, if it does.

        Raises ProtocolError when a frame, or all that are under way, exceed their limits, or when
        what arrived is not what was announced.
        """
        part = self._parts.get(piece.transfer)
        if part is None:
            part = self._begin_part(piece)
        part.came += len(piece.data)
        came = part.came
        short = piece.last and came != part.total
        if piece.total != part.total or came > part.total or short:
            raise ProtocolError(reason=f"{part.total} bytes were announced, {came} came")
        part.buffer.write(piece.data)
        self.bytes += len(piece.data)
        if not piece.last:
            return None
        del self._parts[piece.transfer]
        self.bytes -= came
        self.announced -= part.total
        return codec.decode_frame(part.buffer.getvalue())

    def clear(self) -> None:
        """Let go of what has not arrived whole: nothing more will come."""
        self._parts.clear()
        self.announced = self.bytes = 0

    def _begin_part(self, piece: Piece) -> _Part:
        if piece.total > FRAME_LIMIT:
            raise ProtocolError(reason=f"a frame of {piece.total} bytes exceeds {FRAME_LIMIT}")
        if self.announced + piece.total > LINK_LIMIT:
            raise ProtocolError(reason=f"frames under way exceed {LINK_LIMIT} bytes")
        if len(self._parts) >= TRANSFER_LIMIT:
            raise ProtocolError(reason=f"more than {TRANSFER_LIMIT} frames are under way")
        part = self._parts[piece.transfer] = _Part(piece.total)
        self.announced += piece.total
        return part
