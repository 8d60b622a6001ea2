"""The command ``forgetmeter``."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import typer

from forgetmeter.basics.quiet import quiet
from forgetmeter.basics.visible_text import encodable, visible_line
from forgetmeter.cli.lazy_commands import LazyGroup
from forgetmeter.errors import ManyUserError, UserError, is_out_of_memory, one_line
from forgetmeter.version import __version__

_UNWRITABLE = 1
_UNFINISHED = 1
_WRONG_REQUEST = 2
_INTERRUPTED = 130
_LONGEST_NAME = 60

_GOES_ON = "interrupted: finished cells are stored; the same command continues from there"
_INTERRUPTED_WORDS = {
    "run": _GOES_ON,
    "demo": _GOES_ON,
    "advise": _GOES_ON,
    "compare": _GOES_ON,
    "sensitivity": _GOES_ON,
    "standards": "interrupted: unfinished models were discarded; the same command starts over",
    "compress": "interrupted: nothing was left behind",
    "data": "interrupted: nothing was left behind",
}

app = typer.Typer(
    name="forgetmeter",
    cls=LazyGroup,
    help="Measures what a language model forgets when it is compressed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"forgetmeter {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Measures what a language model forgets when it is compressed."""


def main() -> None:
    """Run the command line; a wrong request prints one-line errors and exits with code 2."""
    _set_up()
    try:
        _refuse_other_encodings(sys.argv[1:])
        # The libraries' progress bars would garble ours.
        with quiet():
            code = app(standalone_mode=False)
        if code == _INTERRUPTED:
            _say_interrupted()
    except UserError as error:
        code = _say(*(error.messages if isinstance(error, ManyUserError) else [str(error)]))
    except (KeyboardInterrupt, typer.Abort):
        _say_interrupted()
        code = _INTERRUPTED
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            _say(f"a plug-in or a library ended the command with sys.exit({error.code!r})")
            code = _UNFINISHED
        else:
            # The reader, such as `head`, closed the pipe; for some commands, typer has raised SystemExit.
            _drop_output()
            code = 0
    except Exception as error:  # noqa: BLE001 - a bug is raised again
        code = _say_other(error)
    _exit_at_once(code if isinstance(code, int) else 0)


_shown: set[str] = set()


def _set_up() -> None:
    """Set how libraries use threads and memory, how signals end the command, and make its output usable."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    # Spinning threads slow a busy machine down severalfold (docs/decisions/014-threads.md).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Without a few microseconds of spinning, each operation would wait for a thread to wake up.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    # Large weights are allocated and freed often; huge pages make that several times as fast.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # On SIGTERM, from a job scheduler or `kill`, clean up half-written files as after Ctrl-C; likewise if the terminal
    # is gone, unless nohup is to outlive it.
    signal.signal(signal.SIGTERM, _interrupt)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _interrupt)
    warnings.showwarning = _show_warning
    _open_streams()


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Print each warning once."""
    if str(message) not in _shown:
        _shown.add(str(message))
        typer.echo(f"warning: {message}", err=True)


def _argument_problem(error: Exception) -> str:
    """Return what is wrong with an option that has the name of an argument; empty for other usage errors."""
    option, command = getattr(error, "option_name", ""), getattr(getattr(error, "ctx", None), "command", None)
    for place, argument in enumerate(
        each for each in getattr(command, "params", ()) if each.param_type_name == "argument"
    ):
        if option == f"--{argument.name}":
            where = "the first argument" if place == 0 else "an argument"
            return f"No such option: {option}; give the {argument.name} as {where}, without '{option}'"
    return ""


class _Log(io.FileIO):
    """Standard error, on which nothing depends: what a full disk or a closed terminal does not take is lost."""

    def write(self, content: Any) -> int:  # noqa: ANN401 - of io
        try:
            return super().write(content) or 0
        except OSError:
            return len(content)


def _open_streams() -> None:
    """Make standard output and error usable, whatever they lead to.

    Either may be closed (``>&-``), and the output's encoding may lack characters where it is not UTF-8, as on some
    Windows systems.
    """
    for number, name in ((1, "stdout"), (2, "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
    if isinstance(sys.stderr, io.TextIOWrapper) and sys.stderr.fileno() == 2:
        log = io.BufferedWriter(_Log(2, "w", closefd=False))
        sys.stderr = io.TextIOWrapper(log, encoding=sys.stderr.encoding, line_buffering=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _refuse_other_encodings(arguments: Sequence[str]) -> None:
    """Refuse file names that are not UTF-8: runs record names as text.

    Raises:
        UserError: There is one.
    """
    for argument in arguments:
        if encodable(argument) != argument:
            raise UserError(f"argument '{encodable(argument)}' is not valid UTF-8; rename the file or folder")


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _exit_at_once(code: int) -> None:
    """Exit at once: on a busy machine, an orderly shutdown of library threads can abort the process."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    except OSError as error:
        code = _say_unwritable(error)
    sys.stderr.flush()
    os._exit(code)


def _say_unwritable(error: OSError) -> int:
    """Report that standard output, such as a full disk, takes no more; all else that was written is complete."""
    _drop_output()
    sys.stderr.write(f"error: the output cannot be written ({error.strerror})\n")
    return _UNWRITABLE


def _say_other(error: Exception) -> int:
    """Report a usage error, a full disk or a lack of memory; raise any other error again, as it is a bug."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return _say_unwritable(error)
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return _say(
            f"'{str(error.filename)[:_LONGEST_NAME]}…' is too long for the name of a file or folder; shorten it"
        )
    if is_out_of_memory(error):
        _say(
            f"out of memory ({one_line(error)}); what was stored before is complete; free memory and repeat the command"
        )
        return _UNFINISHED
    # Usage errors: newer typer releases bundle their own click, so its classes cannot be named here.
    if not hasattr(error, "format_message"):
        raise error
    # A command without its subcommand has printed its help, and has no message.
    return _say(_argument_problem(error) or error.format_message() or "name a command")


def _drop_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say_interrupted() -> None:
    command = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), "")
    sys.stderr.write(_INTERRUPTED_WORDS.get(command, "interrupted") + "\n")


def _say(*messages: str) -> int:
    for message in messages:
        sys.stderr.write(f"error: {visible_line(message)}\n")
    return _WRONG_REQUEST
