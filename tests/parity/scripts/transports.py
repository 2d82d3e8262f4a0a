"""Servers, connections and processes: their callbacks run in the Context that opened them."""

from __future__ import annotations

from tests.parity.run import Script, script

__all__ = ["SCRIPTS"]

SCRIPTS: list[Script] = [
    script(
        "C5: a server's connections are handled with the values it was started with",
        4,
        """
        v = cv.ContextVar("v", default=0)
        async def handle(reader, writer):
            note("sees", v.get())
            v.set("handler")
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        v.set("server")
        server = await aio.start_server(handle, "127.0.0.1", 0)
        v.set("client")
        async with server:
            reader, writer = await aio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"line\\n")
            note("answer", await reader.readline())
            note("end", await reader.read())
            writer.close()
            await writer.wait_closed()
        note("here", v.get())
        """,
    ),
    script(
        "C6: the protocols of a connection keep what is set in their callbacks as their loop does",
        3,
        """
        v, loop, lost = cv.ContextVar("v", default=0), aio.get_running_loop(), aio.Event()
        class Seeing(aio.Protocol):
            def __init__(self, name):
                self.name, self.seen = name, []
            def connection_made(self, transport):
                self.transport = transport
                self.see("made")
            def data_received(self, data):
                self.see("data")
                v.reset(v.set("reset"))
                if self.name == "server":
                    self.transport.write(data)
                    self.transport.close()
            def connection_lost(self, error):
                self.see("lost")
                lost.set() if self.name == "client" else None
            def see(self, what):
                self.seen.append((what, v.get()))
                v.set(f"{self.name} {what}")
        there = Seeing("server")
        v.set("opens the server")
        server = await loop.create_server(lambda: there, "127.0.0.1", 0)
        v.set("opens the client")
        address = server.sockets[0].getsockname()
        transport, here = await loop.create_connection(lambda: Seeing("client"), *address)
        v.set("writes")
        transport.write(b"data")
        await lost.wait()
        server.close()
        await server.wait_closed()
        note("server", there.seen)
        note("client", here.seen)
        note("here", v.get())
        """,
    ),
    script(
        "C6: a datagram's protocol",
        2,
        """
        v, loop, got, seen = cv.ContextVar("v", default=0), aio.get_running_loop(), aio.Event(), []
        class Seeing(aio.DatagramProtocol):
            def connection_made(self, transport):
                seen.append(v.get())
                v.set("made")
            def datagram_received(self, data, address):
                seen.append(v.get())
                v.set(data)
                got.set()
        v.set("opens")
        transport, _ = await loop.create_datagram_endpoint(Seeing, local_addr=("127.0.0.1", 0))
        v.set("sends")
        for data in (b"1", b"2"):
            got.clear()
            transport.sendto(data, transport.get_extra_info("sockname"))
            await got.wait()
        transport.close()
        await aio.sleep(0)
        note("seen", seen)
        note("here", v.get())
        """,
    ),
    script(
        "C5: a process is started, fed and awaited in one Context",
        3,
        """
        v = cv.ContextVar("v", default=0)
        async def child():
            v.set("child")
            process = await aio.create_subprocess_exec("/bin/cat", stdin=-1, stdout=-1)
            out, _ = await process.communicate(b"text")
            return out, process.returncode, v.get()
        v.set("mine")
        note("as a task", await aio.create_task(child()))
        note("here", v.get())
        await child()
        note("awaited", v.get())
        """,
    ),
]
