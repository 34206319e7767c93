#!/usr/bin/env python3
"""A TCP relay that makes a host far away: for kernels without netem, and without touching a qdisc.

lab_relay.py --listen ADDR:PORT --to ADDR:PORT --rtt-ms N [--mbit N] [--drop-after BYTES]

Each direction is delayed by half of the round trip. Data is stamped when it arrives and queued until
it is due, so that the delay does not limit the throughput. The bandwidth is that of the link: all
connections share it. A connection is reset once it has carried BYTES in both directions together.
The port is printed, so that port 0 may be asked for.
"""
import argparse
import asyncio
import socket

CHUNK = 64 << 10
QUEUED = 64 << 20  # per connection and direction: more than any window of TCP has in flight
AHEAD = 0.05  # seconds of data that may wait for a link of limited bandwidth


class Link:
    """One direction, shared by all connections."""

    def __init__(self, delay, rate):
        self.delay, self.rate, self.free = delay, rate, 0.0

    def due(self, now, size):
        """When data that is sent now is there."""
        if self.rate:
            self.free = max(now, self.free) + size / self.rate
            return self.free + self.delay
        return now + self.delay


class Connection:
    def __init__(self, limit):
        self.left = limit
        self.writers = []

    def carried(self, size):
        if self.left is not None:
            self.left -= size
            if self.left <= 0:
                self.reset()

    def reset(self):
        for writer in self.writers:
            plug = writer.get_extra_info("socket")
            if plug is not None and plug.fileno() >= 0:
                # A reset, not an orderly end: linger for 0 seconds.
                plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            writer.transport.abort()


async def pump(reader, writer, link, connection, start):
    """Passes on one direction, from `start` on, until its end; raises OSError if it breaks."""
    loop = asyncio.get_running_loop()
    queue, room = asyncio.Queue(), asyncio.Semaphore(QUEUED // CHUNK)

    async def take():
        while True:
            await room.acquire()
            data = await reader.read(CHUNK)
            now = max(loop.time(), start)
            queue.put_nowait((link.due(now, len(data)), data))
            if not data:
                return
            ahead = link.free - loop.time() - AHEAD
            if ahead > 0:
                await asyncio.sleep(ahead)

    async def give():
        while True:
            due, data = await queue.get()
            wait = due - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
            room.release()
            connection.carried(len(data))

    await asyncio.gather(take(), give())


async def serve(options, near, near_writer, there, back):
    loop, connection = asyncio.get_running_loop(), Connection(options.drop_after)
    connection.writers.append(near_writer)
    tasks = []
    try:
        far, far_writer = await asyncio.open_connection(*options.to)
        connection.writers.append(far_writer)
        for writer in connection.writers:
            plug = writer.get_extra_info("socket")
            plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # This end has accepted at once, which is made up for here: a handshake takes a round trip,
        # and half of one more until the other end knows.
        now, rtt = loop.time(), options.rtt_ms / 1000
        tasks = [
            asyncio.create_task(pump(near, far_writer, there, connection, now + rtt)),
            asyncio.create_task(pump(far, near_writer, back, connection, now + 1.5 * rtt)),
        ]
        await asyncio.gather(*tasks)
        for writer in connection.writers:
            writer.close()  # an orderly end: what is still on its way arrives
    except OSError:
        connection.reset()
    finally:
        for task in tasks:
            task.cancel()


async def main(options):
    rate = options.mbit * 1e6 / 8 if options.mbit else None
    there, back = (Link(options.rtt_ms / 2000, rate) for _ in range(2))
    server = await asyncio.start_server(
        lambda reader, writer: serve(options, reader, writer, there, back), *options.listen
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def address(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--listen", type=address, required=True)
    parser.add_argument("--to", type=address, required=True)
    parser.add_argument("--rtt-ms", type=float, default=0)
    parser.add_argument("--mbit", type=float)
    parser.add_argument("--drop-after", type=int)
    try:
        asyncio.run(main(parser.parse_args()))
    except KeyboardInterrupt:
        pass
