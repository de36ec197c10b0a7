"""A web server of a folder that gives parts of files, as object stores do."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class RangeServer(ThreadingHTTPServer):
    """Serves ``folder``, at ``url``.

    ``num_failures`` of the next requests for a part are answered with status 503; without
    ``gives_ranges`` the whole file comes instead of a part. ``num_parts`` counts those given.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.num_failures = 0
        self.gives_ranges = True
        self.num_parts = 0


class _Handler(BaseHTTPRequestHandler):
    server: RangeServer

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        file = self.server.folder / self.path.lstrip("/")
        if not file.is_file():
            self.send_error(404)
            return
        data, status = file.read_bytes(), 200
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if wanted and self.server.num_failures:
            self.server.num_failures -= 1
            self.send_error(503)
            return
        if wanted and self.server.gives_ranges:
            data, status = data[int(wanted[1]) : int(wanted[2]) + 1], 206
            self.server.num_parts += 1
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if self.server.gives_ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if with_body:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


@contextmanager
def serve(folder: Path) -> Iterator[RangeServer]:
    """A server that runs as long as the block does."""
    with RangeServer(folder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
