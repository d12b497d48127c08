"""``/health``: what a worker says of itself, over HTTP."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, ClassVar, Final

from caraway.exceptions import ImproperlyConfigured
from caraway.utils.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from caraway.workers.vitals import Report

logger = get_logger("worker")

PATH: Final = "/health"
PATIENCE_S: Final = 5.0
"""How long a client may take for its request."""
TICK_S: Final = 0.1
"""How soon the server hears that it is to end."""


class _Handler(BaseHTTPRequestHandler):
    """Answers one client."""

    timeout: ClassVar[float] = PATIENCE_S
    server: _Server

    def do_GET(self) -> None:
        if self.path.split("?")[0] != PATH:
            self._answer(HTTPStatus.NOT_FOUND, {"error": f"there is {PATH} only"})
            return
        report = self.server.report()
        status = HTTPStatus.OK if report.healthy else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, report.as_json())

    do_HEAD = do_GET  # noqa: N815 - the name is the server's

    def _answer(self, status: HTTPStatus, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        """Tell a client nothing about what serves it."""
        return "caraway"

    def log_message(self, *args: object) -> None:
        """Log at DEBUG: a probe asks all day."""
        logger.debug("health: %s", args)


class _Server(ThreadingHTTPServer):
    """A server in threads of its own, so that a blocked event loop is told and not shared."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], report: Callable[[], Report]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)
        self.report = report

    def server_bind(self) -> None:
        """Listen; the base class would ask DNS for a name that nobody needs."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, *who: object) -> None:
        """Log at DEBUG: a client that went away is nobody's trouble."""
        logger.debug("health: %s went away", who, exc_info=True)


@contextmanager
def serving(report: Callable[[], Report], host: str, port: int) -> Iterator[int]:
    """Serve ``/health`` for as long as the block runs; yield the port.

    Parameters
    ----------
    port
        0 takes a free one.

    Raises
    ------
    ImproperlyConfigured
        If nothing can listen there.
    """
    try:
        server = _Server((host, port), report)
    except OSError as error:
        raise ImproperlyConfigured(
            f"/health cannot be served on {host}:{port} ({error.strerror or error}): give another "
            "--health-port or --health-host"
        ) from error
    with server:
        taken: int = server.server_address[1]
        thread = threading.Thread(
            target=server.serve_forever, args=(TICK_S,), name="health", daemon=True
        )
        thread.start()
        logger.info("/health is served on %s:%d", host, taken)
        try:
            yield taken
        finally:
            server.shutdown()
            thread.join()
