"""What a panel does when something fails: one sentence, there or in napari's notifications."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

from napari_medseg.widgets.jobs import explain_error
from napari_medseg.widgets.notice import Notice


class HasNotice(Protocol):
    """A panel with a place for sentences."""

    notice: Notice


Panel = TypeVar("Panel", bound=HasNotice)
Arguments = ParamSpec("Arguments")


def shown_errors(slot: Callable[Concatenate[Panel, Arguments], None]) -> Callable[Concatenate[Panel, Arguments], None]:
    """Decorate a method that Qt calls: what it raises is shown in the panel, and an earlier sentence goes away.

    A person's fault is one sentence; a defect of this package has its traceback to unfold. Arguments that Qt adds and
    the method does not take (the state of a button) are dropped, as Qt does for undecorated slots.
    """
    taken = len(inspect.signature(slot).parameters) - 1

    @functools.wraps(slot)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> None:
        self.notice.clear()
        try:
            slot(self, *args[:taken], **kwargs)
        except Exception as error:
            self.notice.show_error(*explain_error(error))

    return cast("Callable[Concatenate[Panel, Arguments], None]", guarded)
