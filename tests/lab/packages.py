#!/usr/bin/env python3
"""A Debian mirror for the guests of a lab, which reach this machine and nothing else.

Passes on what they ask for from the mirror that this machine uses itself, and keeps packages in a
folder: their names hold their versions, so that what is kept is never old. Everything else, lists
above all, is asked for each time.
"""

import argparse
import http.server
import os
import shutil
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = urllib.parse.unquote(self.path).lstrip("/")
        if ".." in path.split("/"):
            self.send_error(403)
            return
        kept = None
        if path.endswith(".deb"):
            kept = os.path.join(self.server.keep, path.rpartition("/")[2])
        try:
            if kept and os.path.exists(kept):
                source = open(kept, "rb")
                size = os.path.getsize(kept)
            else:
                request = urllib.request.Request(f"{self.server.mirror}/{urllib.parse.quote(path)}")
                with urllib.request.urlopen(request, timeout=60) as answer:
                    source = tempfile.NamedTemporaryFile(dir=self.server.keep, delete=False)
                    shutil.copyfileobj(answer, source)
                size = source.tell()
                source.seek(0)
                if kept:
                    os.rename(source.name, kept)
                else:
                    os.unlink(source.name)
        except urllib.error.HTTPError as error:
            self.send_error(error.code)
            return
        except OSError as error:
            self.send_error(502, str(error))
            return
        with source:
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            shutil.copyfileobj(source, self.wfile)

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mirror", required=True)
    parser.add_argument("--keep", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("addresses", nargs="+")
    args = parser.parse_args()
    os.makedirs(args.keep, exist_ok=True)
    for address in args.addresses:
        server = http.server.ThreadingHTTPServer((address, args.port), Handler)
        server.daemon_threads = True
        server.mirror, server.keep = args.mirror.rstrip("/"), args.keep
        threading.Thread(target=server.serve_forever).start()
    print("ready", flush=True)


main()
