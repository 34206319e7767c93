"""A client of SFTP, version 3, that hides nothing: it asks what it is told to, and waits for the answer."""
import os
import struct
import subprocess

OPEN, CLOSE, READ, WRITE, LSTAT, SETSTAT, FSETSTAT, OPENDIR, READDIR = 3, 4, 5, 6, 7, 9, 10, 11, 12
REMOVE, MKDIR, RMDIR, REALPATH, STAT, RENAME, READLINK, SYMLINK = 13, 14, 15, 16, 17, 18, 19, 20
STATUS, EXTENDED = 101, 200
R, W, APPEND, CREAT, TRUNC = 1, 2, 4, 8, 16  # how to open
STATES = ["ok", "eof", "no such file", "permission denied", "failure", "bad message",
          "no connection", "connection lost", "unsupported"]


class Refused(Exception):
    """The server's answer is a status other than OK."""


def string(text):
    data = text if isinstance(text, bytes) else os.fsencode(text)
    return struct.pack(">I", len(data)) + data


def number(*values):
    return struct.pack(f">{len(values)}I", *values)


class Reply:
    def __init__(self, data):
        self.data = data

    def take(self, size):
        value, self.data = self.data[:size], self.data[size:]
        return value

    def number(self):
        return struct.unpack(">I", self.take(4))[0]

    def string(self):
        return self.take(self.number())


class Client:
    def __init__(self, command, env):
        self.server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       env=env, bufsize=0)
        self.turn = 0
        self.send(1, number(3))
        kind, reply = self.receive()
        assert kind == 2 and reply.number() == 3, "not a server of version 3"

    def send(self, kind, data):
        self.server.stdin.write(number(1 + len(data)) + bytes([kind]) + data)

    def exactly(self, size):
        data = b""
        while len(data) < size:
            more = self.server.stdout.read(size - len(data))
            assert more, f"the server has ended, exit code {self.server.wait()}"
            data += more
        return data

    def receive(self):
        data = self.exactly(struct.unpack(">I", self.exactly(4))[0])
        return data[0], Reply(data[1:])

    def ask(self, kind, *parts):
        self.turn += 1
        self.send(kind, number(self.turn) + b"".join(parts))
        kind, reply = self.receive()
        assert reply.number() == self.turn, "an answer to another question"
        code = reply.number() if kind == STATUS else 0
        if code:
            raise Refused(STATES[code] if code < len(STATES) else f"status {code}")
        return reply

    def handle(self, kind, path, *more):
        return string(self.ask(kind, string(path), *more).string())

    def until_eof(self, handle, step):
        try:
            while True:
                step()
        except Refused as end:
            if str(end) != "eof":
                raise
        finally:
            self.ask(CLOSE, handle)

    def read(self, path):
        data, handle = bytearray(), self.handle(OPEN, path, number(R, 0))

        def step():
            if len(data) > 65536:
                raise Refused("eof")
            data.extend(self.ask(READ, handle, struct.pack(">QI", len(data), 32768)).string())

        self.until_eof(handle, step)
        return bytes(data)

    def names(self, path):
        names, handle = set(), self.handle(OPENDIR, path)

        def step():
            reply = self.ask(READDIR, handle)
            for _ in range(reply.number()):
                names.add(os.fsdecode(reply.string()))
                reply.string()
                flags = reply.number()
                reply.take(sum(size for bit, size in ((1, 8), (2, 8), (4, 4), (8, 8)) if flags & bit))

        self.until_eof(handle, step)
        return names - {".", ".."}

    def name(self, kind, path):
        reply = self.ask(kind, string(path))
        reply.number()
        return os.fsdecode(reply.string())
