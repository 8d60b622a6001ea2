"""What a worker process runs; imports nothing heavy, to suppress what libraries say while they are imported."""

from __future__ import annotations

import signal
import sys
from multiprocessing.connection import Connection

from forgetmeter.basics.quiet import quiet

_ENDED = 143


def work(connection: Connection, number: int) -> None:
    """Run cells that are handed out on a connection, as long as there are any.

    Args:
        connection: Leads to ``WorkersExecutor``. It first sends a function of the connection, the ``Work`` and the
            number, and the ``Work``.
        number: Number of such processes.
    """
    # Ctrl-C reaches all processes; the first one ends the others, which then remove what is half-written.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_ENDED))
    with quiet():
        # Imports what they need.
        run, given = connection.recv()
        run(connection, given, number)
