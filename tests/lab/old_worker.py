"""Stands for a worker of another version of cpods: says another protocol's hello, as any version may,
and hangs up."""

import os
import socket
import sys

path = sys.argv[1]
if os.path.exists(path):
    os.unlink(path)
server = socket.socket(socket.AF_UNIX)
server.bind(path)
os.chmod(path, 0o600)
server.listen()
while True:
    peer, _ = server.accept()
    peer.sendall(b"cpods\n" + (1).to_bytes(2, "little") + bytes([3]) + bytes(7))
    peer.recv(64)
    peer.close()
