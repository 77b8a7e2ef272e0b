"""A real server of one file on this machine, which breaks, lies and forgets as servers do."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = random.Random(0).randbytes(1_000_000)


class Server(ThreadingHTTPServer):
    """Serves ``content`` at every path; the attributes say how badly."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = CONTENT
        self.ranges = True
        self.announces_length = True
        self.breaks_after: list[int] = []
        self.status = 200
        self.redirect = ""
        self.endless = False
        self.pause = 0.0
        self.requests: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/model.safetensors"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        start = int(wanted.split("=")[1].rstrip("-")) if wanted and self.server.ranges else 0
        if self.server.redirect or self.server.status != 200:
            self.send_response(302 if self.server.redirect else self.server.status)
            self.send_header("Location", self.server.redirect)
            self.end_headers()
            return
        if start > 0 and start >= len(self.server.content):
            self.send_error(416)
            return
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            last = len(self.server.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
        if self.server.announces_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.breaks_after:
            body = body[: self.server.breaks_after.pop(0)]
        with suppress(OSError):  # the other side may have had enough
            self._send(body)
        self.close_connection = True

    def _send(self, body: bytes) -> None:
        if self.server.pause:
            for byte in body[:1000]:
                self.wfile.write(bytes([byte]))
                time.sleep(self.server.pause)
            return
        self.wfile.write(body)
        while self.server.endless:
            self.wfile.write(bytes(100_000))

    def do_CONNECT(self) -> None:
        self.server.requests.append((f"CONNECT {self.path}", None))
        self.send_error(502)

    def log_message(self, format: str, *args: object) -> None:
        pass
