#!/usr/bin/env python3
"""Tries to break out of a jailed, read-only sftp-server, and to change something through it.

sftp_probe.py [--expect-root DIR] [--shown PATH] [--file FILE] -- CMD...

CMD is started and spoken to by its stdin and stdout (SFTP version 3). DIR (the working directory) is
what it serves, at its own path or at PATH; this program lays bait there by itself, in a directory that it
removes. FILE, below DIR, must be readable too. Each try is a line, `refused NAME: status` or
`GOT NAME: what`. System directories may be seen, and other files under known names (an /etc/passwd
that is not this machine's). The exit code is 1 if anything came through, 2 if reading does not work.
"""
import argparse
import os
import secrets
import shutil
import struct
import sys
import tempfile

sys.dont_write_bytecode = True
from sftp_client import (APPEND, CLOSE, CREAT, EXTENDED, FSETSTAT, LSTAT, MKDIR, OPEN, R, READLINK,
                         REALPATH, REMOVE, RENAME, RMDIR, SETSTAT, STAT, SYMLINK, TRUNC, W, WRITE,
                         Client, Refused, number, string)

# What a jail has of its own: these names say nothing of the real directory.
OWN = {"/": set("bin dev etc lib lib32 lib64 libx32 proc run sbin tmp usr".split()),
       "/etc": {"passwd", "group", "nsswitch.conf"}}


class Probe:
    def __init__(self, client, root, secret):
        self.client, self.root, self.secret = client, root, secret
        self.got = self.tries = 0

    def attempt(self, name, function, *arguments):
        """`function` says what it got, or nothing if that is no harm."""
        self.tries += 1
        try:
            what = function(*arguments)
        except Refused as status:
            print(f"refused {name}: {status}")
            return
        self.got += bool(what)
        print(f"GOT {name}: {what}" if what else f"refused {name}: an answer, but nothing from outside")

    def content(self, path, real=None):
        data = self.client.read(path)
        if self.secret in data:
            return "the secret"
        if real and data and os.path.exists(real):
            with open(real, "rb") as file:
                return data == file.read(len(data)) and f"{len(data)} bytes of {real}"
        return None

    def listing(self, path, real):
        """Names of the real directory, but for those on the way to the root."""
        names = self.client.names(path) & set(os.listdir(real)) - OWN.get(real, set())
        names -= set(self.root.split("/")) if self.root.startswith(real) else set()
        return names and f"{len(names)} names of {real}, such as {min(names)}"

    def done(self, kind, *parts):
        self.client.ask(kind, *parts)
        return "done"

    def write(self, path, flags):
        handle = self.client.handle(OPEN, path, number(flags, 0))
        try:
            return self.done(WRITE, handle, struct.pack(">Q", 0), string("changed")) and "written"
        except Refused as status:
            return f"opened, though not written: {status}"
        finally:
            self.client.ask(CLOSE, handle)

    def reads(self, bait, outside):
        up, client = "/.." * 40, self.client
        ways = {"absolute": "", "dots": up[1:], "dots below the root": self.root + up,
                "proc cwd": "/proc/self/cwd" + up, "link to /": bait + "/slash",
                "link up": bait + "/up", "link to proc": bait + "/proc-root"}
        ways.update({f"proc {who}": f"/proc/{who}/root" for who in ("self", "1", "2", "thread-self")})
        for way, start in ways.items():
            canary = f"{start}{outside}/canary"
            self.attempt(f"read, {way}", self.content, canary)
            for file in ("/etc/passwd", "/etc/shadow", "/etc/hostname"):
                self.attempt(f"read {file}, {way}", self.content, start + file, file)
            for place in ("/", "/root", "/home", "/etc", "/var", "/tmp", "/run", outside):
                self.attempt(f"list {place}, {way}", self.listing, start + place, place)
            self.attempt(f"stat, {way}", self.done, STAT, string(canary))
            self.attempt(f"lstat, {way}", self.done, LSTAT, string(canary))
            self.attempt(f"readlink, {way}", client.name, READLINK, f"{start}{outside}/link")
        for name in ("absolute", "relative", "chain"):
            self.attempt(f"read by a link, {name}", self.content, f"{bait}/{name}")
            self.attempt(f"stat by a link, {name}", self.done, STAT, string(f"{bait}/{name}"))
            # Where a link leads may be told, but not whether there is something: below, nothing can be.
            self.attempt(f"realpath, {name}", client.name, REALPATH, f"{bait}/{name}/x/y")
        for who in ("self", "1", "2"):
            self.attempt(f"environment of {who}", self.content, f"/proc/{who}/environ")
            for fd in range(10):
                self.attempt(f"descriptor {fd} of {who}", self.listing, f"/proc/{who}/fd/{fd}", "/")
        with open("/proc/partitions", encoding="ascii") as file:
            for disk in [line.split()[3] for line in file.readlines()[2:]]:
                self.attempt(f"disk {disk}", lambda path: client.read(path) and "data", "/dev/" + disk)

    def writes(self, bait, outside):
        mode, offset = number(4, 0o777), struct.pack(">Q", 0)
        # In directories of the system nothing is opened that there is: the jail may be none.
        for place, old, new in (
            ("below the root", bait + "/victim", bait + "/new"),
            ("outside", outside + "/canary", outside + "/new"),
            ("by a link", bait + "/absolute", f"{bait}/slash{outside}/new-too"),
            ("in /tmp", "/tmp/sftp-probe-none", "/tmp/sftp-probe"),
            ("in /usr", "/usr/sftp-probe-none", "/usr/sftp-probe"),
        ):
            for flags in (W, R | W, W | APPEND, W | TRUNC):
                self.attempt(f"open for writing ({flags}) {place}", self.write, old, flags)
            for flags in (W | CREAT, W | CREAT | TRUNC, R | CREAT):
                self.attempt(f"create ({flags}) {place}", self.write, new, flags)
            both, done = string(old) + string(new), self.done
            for verb in ("hardlink@openssh.com", "posix-rename@openssh.com"):
                self.attempt(f"{verb} {place}", done, EXTENDED, string(verb), both)
            self.attempt(f"lsetstat {place}", done, EXTENDED, string("lsetstat@openssh.com"), string(old), mode)
            self.attempt(f"setstat {place}", done, SETSTAT, string(old), mode)
            self.attempt(f"mkdir {place}", done, MKDIR, string(new + "-dir"), number(0))
            self.attempt(f"rmdir {place}", done, RMDIR, string(new + "-dir"))
            self.attempt(f"symlink {place}", done, SYMLINK, string("/"), string(new + "-link"))
            self.attempt(f"rename {place}", done, RENAME, both)
            self.attempt(f"remove {place}", done, REMOVE, string(old))
            self.attempt(f"rmdir of one that there is, {place}", done, RMDIR, string(bait + "/empty"))
        handle = self.client.handle(OPEN, bait + "/other", number(R, 0))
        self.attempt("fsetstat", done, FSETSTAT, handle, mode)
        self.attempt("write to a handle for reading", done, WRITE, handle, offset, string("x"))
        self.attempt("copy-data", done, EXTENDED, string("copy-data"), handle, offset * 2, handle, offset)
        self.client.ask(CLOSE, handle)


def lay_bait(bait, outside, secret):
    """What is then there, to be compared with what is left."""
    canary = outside + "/canary"
    files = {canary: secret, bait + "/victim": b"as it was", bait + "/other": b"as it was"}
    for path, data in files.items():
        with open(path, "wb") as file:
            file.write(data)
    os.mkdir(bait + "/empty")
    links = {"absolute": canary, "relative": "../" * 40 + canary, "chain": "up" + canary, "slash": "/",
             "up": "../" * 40, "proc-root": "/proc/self/root"}
    for name, to in links.items():
        os.symlink(to, f"{bait}/{name}")
    os.symlink("canary", outside + "/link")


def state(*places):
    found = []
    for place in places:
        for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
            found.append((entry.path, entry.stat(follow_symlinks=False).st_mode))
            if entry.is_file(follow_symlinks=False):
                with open(entry.path, "rb") as file:
                    found.append(file.read())
    return found


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--expect-root", default=".")
    parser.add_argument("--shown")
    parser.add_argument("--file")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    root = os.path.realpath(options.expect_root)
    secret = secrets.token_hex(16).encode()
    bait = tempfile.mkdtemp(prefix=".sftp-probe-", dir=root)
    outside = tempfile.mkdtemp(prefix="sftp-probe-", dir="/var/tmp")
    shown = options.shown or root
    shown_bait = shown + bait[len(root):]
    try:
        lay_bait(bait, outside, secret)
        before = state(bait, outside)
        client = Client(options.command, {**os.environ, "SFTP_PROBE": secret.decode()})
        probe = Probe(client, shown, secret)

        def legit():
            for name in [bait[len(root) + 1:] + "/other"] + [options.file] * bool(options.file):
                with open(os.path.join(root, name), "rb") as file:
                    found = client.read(os.path.join(shown, name))[:65536]
                    assert found == file.read(65536), f"{name} is not as it is"
            assert "other" in client.names(shown_bait), "the directory misses a file"
            empty = shown_bait + "/empty"
            assert client.name(REALPATH, empty) == empty, "realpath in the root"
            assert client.name(READLINK, shown_bait + "/slash") == "/", "readlink in the root"

        legit()
        probe.reads(shown_bait, outside)
        probe.writes(shown_bait, outside)
        probe.attempt("any change", lambda: state(bait, outside) != before and "files are not as before")
        legit()  # else what looks refused may be a server that is broken
        print(f"{probe.tries} tries, {probe.got} came through; reading works")
        return 1 if probe.got else 0
    except (Refused, AssertionError, OSError) as error:
        print(f"what must work does not: {error}")
        return 2
    finally:
        shutil.rmtree(bait)
        shutil.rmtree(outside)
        for place in ("/tmp", "/usr"):  # what came through there
            for name in ("", "-dir", "-link"):
                path = f"{place}/sftp-probe{name}"
                if os.path.lexists(path):
                    (os.rmdir if os.path.isdir(path) and not os.path.islink(path) else os.unlink)(path)


if __name__ == "__main__":
    sys.exit(main())
