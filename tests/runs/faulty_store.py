"""A server between a client and an object store, which answers as told: not at all, slowly, or with old contents."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_ITS_OWN = ("connection", "content-length", "date", "server", "transfer-encoding")

Answer = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers and content."""


def _never(_: str) -> bool:
    return False


@dataclass
class Faults:
    """What goes wrong.

    Attributes:
        is_busy: Whether the store answers 503 to a request, such as ``GET /bucket/file``.
        delay: Seconds before each answer.
        stale: Seconds in which a file that was written is read as it was before.
        refused: Number of requests that were answered with 503.
    """

    is_busy: Callable[[str], bool] = _never
    delay: float = 0.0
    stale: float = 0.0
    refused: int = 0
    before: dict[str, tuple[float, Answer]] = field(default_factory=dict)


class _Server(ThreadingHTTPServer):
    faults: Faults
    store: tuple[str, int]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def answer(self) -> None:
        content, faults = self.rfile.read(int(self.headers.get("content-length") or 0)), self.server.faults
        time.sleep(faults.delay)
        name = self.path.partition("?")[0]
        if faults.is_busy(f"{self.command} {self.path}"):
            faults.refused += 1
            self._send((503, [], _BUSY))
            return
        if self.command == "PUT" and faults.stale:
            faults.before[name] = time.monotonic(), self._forwarded("GET", b"", {})
        since, before = faults.before.get(name, (0.0, None))
        if before and self.command in ("GET", "HEAD") and time.monotonic() < since + faults.stale:
            self._send(before)
        else:
            self._send(self._forwarded(self.command, content, dict(self.headers)))

    do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815 - names of the base class

    def _forwarded(self, method: str, content: bytes, headers: dict[str, str]) -> Answer:
        store = HTTPConnection(*self.server.store)
        store.request(method, self.path, content, headers)
        answered = store.getresponse()
        found = [(name, value) for name, value in answered.getheaders() if name.lower() not in _ITS_OWN]
        return (
            answered.status,
            [*found, ("content-length", answered.getheader("content-length") or "0")],
            answered.read(),
        )

    def _send(self, answer: Answer) -> None:
        status, headers, content = answer
        self.send_response(status)
        sizes = [value for name, value in headers if name == "content-length"] if self.command == "HEAD" else []
        for name, value in headers:
            if name != "content-length":
                self.send_header(name, value)
        self.send_header("content-length", sizes[0] if sizes else str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def faulty_store(store: tuple[str, int]) -> Iterator[tuple[str, Faults]]:
    """Yield the address of a server in front of the store, and what goes wrong there."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.store, server.faults = store, Faults()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.faults
    finally:
        server.shutdown()
        server.server_close()
