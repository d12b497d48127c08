"""How each engine is started from a command line, says where it is, and ends."""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final

from benchmarks.engine.meter import Meter

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[[str, Meter], Callable[[], asyncio.Protocol]]

HOST: Final = "127.0.0.1"


def arguments(module: str, description: str) -> argparse.ArgumentParser:
    """Return what each engine can be told."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.engine.{module}", description=description
    )
    parser.add_argument("--port", type=int, default=0, help="of 127.0.0.1 (0: any free one)")
    parser.add_argument(
        "--latency-ms", type=float, default=0.0, help="what each request takes longer"
    )
    parser.add_argument("--until-eof", action="store_true", help="end when the standard input does")
    return parser


def serve(options: argparse.Namespace, make: Make) -> None:
    """Print the address, and serve it until SIGINT, SIGTERM or, if asked for, the input's end.

    Parameters
    ----------
    make
        Makes, from the address and the meter, what makes a protocol for each connection.
    """
    asyncio.run(_serve(options, make))


async def _serve(options: argparse.Namespace, make: Make) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if options.until_eof:
        loop.add_reader(sys.stdin, stop.set)  # nothing is ever written to it
    listening = socket.create_server((HOST, options.port), backlog=1024)
    url = f"http://{HOST}:{listening.getsockname()[1]}"
    server = await loop.create_server(make(url, Meter(options.latency_ms)), sock=listening)
    # Messages and items stay, and are in no cycle: to look for garbage among them is all in vain.
    gc.disable()
    print(url, flush=True)
    await stop.wait()
    server.close()
