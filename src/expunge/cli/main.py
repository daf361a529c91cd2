"""``expunge``: the command. Subcommands are imported when they are asked for; every error ends here."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import click

from expunge.cli.console import say, show_error
from expunge.core.errors import ExpungeError, Interrupted, StoreFull
from expunge.core.interrupts import was_interrupted

COMMANDS = {
    "train": "Train a model that can forget, in a store of its own.",
    "forget": "Forget a person or records, with a signed receipt.",
    "plan": "Say what forgetting several people would cost.",
    "audit": "Measure what a model gives away, and what unlearning leaves behind.",
    "report": "Show or write the report of a request.",
    "verify": "Verify a receipt offline, trusting nobody but pinned keys.",
    "replay": "Learn the model again and compare it bit by bit.",
    "log": "Show and check the append-only log.",
    "predict": "Predict with the current model.",
    "seals": "List retired versions kept for an appeal.",
    "catalog": "List learners, unlearners, probes and screens.",
    "calibrate": "Measure what this machine can do, for honest floors.",
    "warm": "Compile what is compiled on first use, now.",
    "demo": "Forget a hospital patient, from raw data to verified receipt.",
}
"""Subcommand → one line; each lives in the module of its name."""


class _ReaderGone(Exception):
    """Nobody reads what is printed any more (``| head``); click would end this like a refuted receipt."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used, so that ``verify`` loads no learning library."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the main job."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"expunge.cli.{cmd_name}"), cmd_name)
        command.short_help = COMMANDS[cmd_name]
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderGone from error


def _version() -> str:
    try:
        return version("expunge")
    except PackageNotFoundError:
        return "0"


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(_version(), message="expunge %(version)s")
def cli() -> None:
    """Machine unlearning that can be checked.

    Train a model in a store (one directory), forget a person exactly, measure what is left, and hand out a signed
    receipt that anybody can verify offline.

    \b
    The main job:
      expunge train people.csv --target churn --subject email STORE
      expunge forget STORE --subject ann@example.org
      expunge verify STORE/receipts/REF.json --trust trust.json

    Results go to stdout, everything else to stderr; every command takes --json. Each error has a code, a hint and an
    exit code of its own (0 done, 2 usage, 130 Ctrl-C). `expunge demo` shows the whole path on real hospital data.
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; prints every error."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in given
    try:
        code = cli.main(args=given, prog_name="expunge", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except ExpungeError as error:
        return _end(error, as_json)
    except (KeyboardInterrupt, click.Abort):
        return _end(Interrupted(), as_json)
    except click.exceptions.NoArgsIsHelpError as error:
        return _end(_Usage("no command is given"), as_json) if as_json else _help(error)
    except click.ClickException as error:
        return _end(_Usage(error.format_message(), hint=_hint(error)), as_json)
    except _ReaderGone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the interpreter's flush stays silent
        return 141
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return _end(StoreFull("the disk is full"), as_json) if full else _surprise(error, as_json)
    except Exception as error:
        return _end(Interrupted(), as_json) if was_interrupted(error) else _surprise(error, as_json)


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run())


class _Usage(ExpungeError):
    """The command line is not understood."""

    code = "usage"
    hint = "Add --help to see what the command takes."
    exit_code = 2


class _Surprise(ExpungeError):
    """Something that expunge did not foresee."""

    code = "unexpected"
    hint = "This is a defect: run the command again with EXPUNGE_TRACEBACK=1 and report what it prints."
    exit_code = 70


def _help(error: click.ClickException) -> int:
    error.show()
    return error.exit_code


def _hint(error: click.ClickException) -> str:
    """Return where the command that was misunderstood is explained."""
    asked = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx is not None else "expunge"
    return f"`{asked} --help` says what it takes."


def _end(error: ExpungeError, as_json: bool) -> int:
    if os.environ.get("EXPUNGE_TRACEBACK"):
        traceback.print_exception(error)
    show_error(error, as_json)
    return error.exit_code


def _surprise(error: Exception, as_json: bool) -> int:
    if os.environ.get("EXPUNGE_TRACEBACK"):
        say(*traceback.format_exception(error))
    return _end(_Surprise(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"), as_json)
