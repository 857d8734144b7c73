"""Errors whose message is meant for the person at the screen.

Each message is one sentence that says what is wrong, where (file, row, layer) and what to do. The command line prints
it and exits with 1; a panel shows it. Anything that is not a `MedsegError` is a defect of this package.
"""

from __future__ import annotations


class MedsegError(Exception):
    """Base of all errors that a person can cause and mend."""


class InputNotFoundError(MedsegError, FileNotFoundError):
    """A file or folder that was named does not exist."""

    def __str__(self) -> str:
        # OSError.__str__ would print a tuple when more than one argument is given.
        return str(self.args[0]) if self.args else ""


class ReadError(MedsegError, ValueError):
    """A file exists but cannot be read as what it claims to be."""


class WriteError(MedsegError, OSError):
    """A file could not be written (disk full, folder read-only, file held by another program)."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class DatasetError(MedsegError, ValueError):
    """A data set folder holds something that cannot be used."""


class ConflictError(DatasetError):
    """Another writer changed the same row; both versions were kept."""


class ReviewedError(DatasetError):
    """A case was reviewed, so that its annotations stay until somebody unlocks it."""


class LockedError(MedsegError, TimeoutError):
    """Another program holds the data set's lock."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class AnnotationError(MedsegError, ValueError):
    """What was drawn cannot be, e.g. a boundary beyond its neighbour; nothing was changed."""


class ConfigError(MedsegError, ValueError):
    """A setting has a value that cannot work."""


class ModelError(MedsegError, ValueError):
    """A model file is truncated, foreign, of another version, or does not fit the input."""


class TrainingError(MedsegError, RuntimeError):
    """Training cannot start or cannot go on."""


class Cancelled(MedsegError):  # noqa: N818 - a request, not a fault
    """The person asked to stop; what was done so far is kept."""
