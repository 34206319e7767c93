#!/usr/bin/env python3
"""overhead.py WRAPPER PAIRS: what the wrapper adds to commands that stay local, in milliseconds."""
import os
import statistics
import sys
import time

wrapper, pairs = sys.argv[1], int(sys.argv[2])
quiet = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]


def seconds(argv):
    began = time.perf_counter()
    pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=quiet)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status != 0:
        sys.exit(f"{argv} exited with code {status}")
    return time.perf_counter() - began


for command in (["true"], ["gcc", "-dumpversion"], ["gcc", "-E", "-x", "c", "/dev/null"]):
    plain, wrapped = [], []
    for _ in range(pairs):
        # In turns, so that both meet the same moods of the machine.
        plain.append(seconds(command))
        wrapped.append(seconds([wrapper] + command))
    before, after = (statistics.median(times) * 1000 for times in (plain, wrapped))
    print(f"{' '.join(command):<24} {before:7.2f} ms, wrapped {after:7.2f} ms, "
          f"adds {after - before:5.2f} ms")
