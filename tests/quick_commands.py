"""A command `forgetmeter` that starts in a fraction of a second, for tests of many commands.

Importing torch and transformers takes most of the time of a short command. A server has imported them, but computed
nothing; for each command, it forks a process that calls ``main`` with the command's arguments, environment, folder and
streams. Environment variables that libraries read while they are imported are those of the server.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from functools import cache
from importlib import import_module
from pathlib import Path

from forgetmeter.basics.quiet import quiet

_IMPORTED = (
    "datasets",
    "forgetmeter.checkpoints.compressing",
    "forgetmeter.cli.main",
    "forgetmeter.report.html.page",
    "forgetmeter.results.results",
    "forgetmeter.study.preparing",
    "lm_eval.tasks",
    "pandas",
    "scipy.stats",
    "transformers.models.bert.modeling_bert",
    "transformers.models.llama.modeling_llama",
    "transformers.models.t5.modeling_t5",
)
_LIVES = 3_600
"""Seconds after which a server without a client ends."""
# Sends its streams, then what to do; receives the exit code.
_CLIENT = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [b"."], [0, 1, 2])
    server.sendall(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode())
    server.shutdown(socket.SHUT_WR)
    code = server.recv(1)
os._exit(code[0] if code else 70)
"""


@cache
def quick_command() -> str:
    """Return the path of an executable `forgetmeter`; its server ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="forgetmeter-"))
    address, client = folder / "server", folder / "forgetmeter"
    client.write_text(_CLIENT.format(python=sys.executable, address=str(address)))
    client.chmod(0o755)
    server = subprocess.Popen([sys.executable, __file__, str(address)])
    atexit.register(server.kill)
    deadline = time.monotonic() + 240
    while not address.exists():
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the server of commands did not start")
        time.sleep(0.05)
    return str(client)


def forgetmeter(*arguments: str, expect: int = 0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command, and check its exit code."""
    done = subprocess.run(
        [quick_command(), *arguments], capture_output=True, text=True, timeout=240, check=False, cwd=cwd
    )
    assert done.returncode == expect, done.stderr
    return done


def _serve(address: str) -> None:
    with quiet():
        for name in _IMPORTED:
            import_module(name)
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX)
    listener.settimeout(_LIVES)
    # It can be connected to as soon as it is seen.
    listener.bind(f"{address}.new")
    listener.listen(64)
    Path(f"{address}.new").rename(address)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _answer(connection)
        connection.close()
        _reap()


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _answer(connection: socket.socket) -> None:
    """Run a command in a process of its own, and send its exit code."""
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    said = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    command = os.fork()
    if command:
        _, status = os.waitpid(command, 0)
        connection.send(bytes([os.waitstatus_to_exitcode(status) % 256]))
        os._exit(0)
    from forgetmeter.cli.main import main

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    arguments, folder, environment = json.loads(said)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["forgetmeter", *arguments]
    try:
        main()
    except BaseException:  # noqa: BLE001 - as a new process shows it
        sys.excepthook(*sys.exc_info())
    os._exit(1)


if __name__ == "__main__":
    _serve(sys.argv[1])
