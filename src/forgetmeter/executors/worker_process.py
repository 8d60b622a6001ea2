"""What a worker process runs; imports nothing heavy, to suppress what libraries say while they are imported."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import parent_process
from multiprocessing.connection import Connection

from forgetmeter.basics.quiet import quiet
from forgetmeter.errors import Terminated

_ENDED = 143


def work(connection: Connection, number: int) -> None:
    """Run cells that are handed out on a connection, as long as there are any.

    Args:
        connection: Leads to ``WorkersExecutor``. It first sends a function of the connection, the ``Work`` and the
            number, and the ``Work``.
        number: Number of such processes.
    """
    # Ctrl-C reaches all processes, as does the end of a terminal; the first one ends the others, which then remove
    # what is half-written.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(getattr(signal, "SIGHUP", signal.SIGINT), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _terminate)
    threading.Thread(target=_end_with_first, daemon=True).start()
    with quiet():
        # Imports what they need.
        run, given = connection.recv()
        run(connection, given, number)


def _terminate(*_: object) -> None:
    raise Terminated(_ENDED)


def _end_with_first() -> None:
    """End this process, whatever it does, if the first one is gone, which alone could end it."""
    first = parent_process()
    if first is not None:
        first.join()
        os._exit(1)
