#!/usr/bin/env python3
"""other_protocol.py FRAME_RS PROGRAM NEW: a copy of a program that says the protocol before ours.

Every version begins with the same hello: "cpods\\n" and its number. So what a pod looks like that has
been left behind can be had without building an old version.
"""
import re
import sys

frame, program, new = sys.argv[1:]
ours = int(re.search(r"pub const PROTOCOL: u16 = (\d+);", open(frame).read())[1])
hello = b"cpods\n" + ours.to_bytes(2, "little")
code = open(program, "rb").read()
if hello not in code:
    sys.exit(f"{program} holds no hello of protocol {ours}")
open(new, "wb").write(code.replace(hello, b"cpods\n" + (ours - 1).to_bytes(2, "little")))
print(ours - 1)
