"""``napari-medseg``: parse, call a command, print its result; the exit codes are those of docs/command-line.md.

0 done; 1 the input is at fault (one sentence on standard error, no traceback); 2 wrong usage; 130 interrupted, with
the work so far kept. With ``--json`` exactly one JSON document goes to standard output and nothing else.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import sys
import traceback
from collections.abc import Sequence

from napari_medseg.commands import Result
from napari_medseg.errors import Cancelled, MedsegError

#: Modules of `napari_medseg.commands`, in the order of the help text. Each has ``add_parser(subparsers)``.
COMMANDS = (
    "info",
    "convert",
    "dataset",
    "schemes",
    "config",
    "train",
    "predict",
    "verify",
    "evaluate",
    "compare",
    "models",
    "next",
    "contradictions",
    "quality",
    "agreement",
    "history",
    "measure",
    "export",
    "export_model",
    "reproduce",
    "demo",
    "doctor",
)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; building it imports no heavy library."""
    parser = argparse.ArgumentParser(
        prog="napari-medseg",
        description="Open medical images, label them, train from few and mixed labels, predict, evaluate, measure.",
        epilog="Research use only. 'napari-medseg COMMAND --help' explains a command.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    subparsers = parser.add_subparsers(metavar="COMMAND")
    for name in COMMANDS:
        importlib.import_module(f"napari_medseg.commands.{name}").add_parser(subparsers)
    return parser


def with_negative_values(argv: Sequence[str]) -> list[str]:
    """Arguments in which a value such as ``-1,2`` stays with its option; argparse takes it for an option of its own.

    >>> with_negative_values(["measure", "a.tif", "--spacing", "-1,2", "--json"])
    ['measure', 'a.tif', '--spacing=-1,2', '--json']
    """
    joined: list[str] = []
    for word in argv:
        if joined and re.match(r"--[a-z-]+$", joined[-1]) and re.match(r"-(\d|\.\d|nan|inf)", word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = build_parser()
    args = parser.parse_args(with_negative_values(sys.argv[1:] if argv is None else argv))
    if args.version:
        from importlib.metadata import version

        print(version("napari-medseg"))
        return 0
    if not hasattr(args, "run"):
        parser.print_help(sys.stderr)
        return 2
    try:
        result: Result = args.run(args)
        _print_result(result, as_json=getattr(args, "json", False))
        return result.exit_code
    except (KeyboardInterrupt, Cancelled):
        print("Interrupted; the work so far is kept.", file=sys.stderr)
        return 130
    except MedsegError as error:
        print(str(error), file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of a pipe (head, less) has seen enough; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:
        if error.filename is None:
            return _defect(error)
        print(
            f"{error.filename} cannot be used ({error.strerror}): check the path, your rights and the space there.",
            file=sys.stderr,
        )
        return 1
    except Exception as error:
        return _defect(error)


def _defect(error: Exception) -> int:
    """Say that this package is at fault, in one line unless asked for more; returns the exit code."""
    if os.environ.get("MEDSEG_DEBUG"):
        traceback.print_exception(error)
    print(
        f"Unexpected {type(error).__name__}: {error}. This is a defect of napari-medseg; "
        "run again with MEDSEG_DEBUG=1 for the details to report.",
        file=sys.stderr,
    )
    return 1


def _print_result(result: Result, *, as_json: bool) -> None:
    if as_json:
        from napari_medseg.training.events import plain

        print(json.dumps(plain(dict(result.document)), indent=2))
    elif result.text:
        print(result.text)
    sys.stdout.flush()
