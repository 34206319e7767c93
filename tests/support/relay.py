"""relay.py PORT TARGET_PORT DELAY_FILE: a TCP relay on loopback that holds everything back by half
the round trip, in milliseconds, that DELAY_FILE holds at that moment. Order is kept; bandwidth is
not limited. Ends on SIGTERM."""

import asyncio
import contextlib
import socket
import sys

PIECE = 256 << 10


def one_way(path):
    with open(path) as file:
        return float(file.read()) / 2000


async def carry(reader, writer, path):
    """Reads at once, writes when it is due."""
    held = asyncio.Queue()

    async def write():
        loop = asyncio.get_running_loop()
        while piece := await held.get():
            due, data = piece
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()

    writing = asyncio.ensure_future(write())
    due = 0.0
    while True:
        data = await reader.read(PIECE)
        due = max(due, asyncio.get_running_loop().time() + one_way(path))
        held.put_nowait((due, data))
        if not data:
            break
    await writing


async def serve(reader, writer, target, path):
    # A connection's handshake takes a round trip before the first byte can be sent.
    await asyncio.sleep(2 * one_way(path))
    there = await asyncio.open_connection("127.0.0.1", target)
    for end in (writer, there[1]):
        end.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(OSError):
        await asyncio.gather(carry(reader, there[1], path), carry(there[0], writer, path))
    for end in (writer, there[1]):
        end.close()


async def main(port, target, path):
    serving = await asyncio.start_server(
        lambda reader, writer: serve(reader, writer, target, path), "127.0.0.1", port
    )
    await serving.serve_forever()


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
