"""How long a person has worked on the case on screen: pauses do not count."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds without any sign of work after which the person is thought to be elsewhere.
PAUSE_SECONDS = 30.0


class WorkClock:
    """Adds up the time between signs of work that follow each other soon.

    Parameters
    ----------
    now
        Gives seconds that only go forward.

    Examples
    --------
    >>> ticks = iter([0.0, 10.0, 15.0, 500.0, 510.0])
    >>> clock = WorkClock(lambda: next(ticks))  # starts at 0
    >>> for _ in range(4):
    ...     clock.touch()
    >>> clock.seconds  # 10 and 5, then a pause, then 10
    25.0
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._last = now()
        self.seconds = 0.0

    def touch(self) -> None:
        """The person did something."""
        now = self._now()
        if now - self._last <= PAUSE_SECONDS:
            self.seconds += now - self._last
        self._last = now

    def restart(self) -> float:
        """Begin at 0; the seconds so far."""
        self.touch()
        seconds, self.seconds = self.seconds, 0.0
        return seconds
