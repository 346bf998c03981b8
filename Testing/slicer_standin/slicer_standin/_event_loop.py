"""Waiting for the module while its events run, and how long the window stood still meanwhile."""

import time
from collections.abc import Callable
from pathlib import Path

from ._pythonqt import qt

POLL_MS = 5

SCHEDULE = Path("/proc/thread-self/schedstat")
"""Linux: nanoseconds that this thread ran, and that it was ready to run but other programs had the processors."""


def wait_until(
    condition: Callable[[], bool],
    timeout: float = 30.0,
    what: str = "the condition",
    start: Callable[[], object] | None = None,
) -> float:
    """Run the event loop until ``condition()`` holds.

    timeout: seconds. start: what sets it off, called from the event loop, so that its own time counts too. Returns
    the longest time in seconds between two turns of the event loop: so long would a user's click have waited. On
    Linux the time in which all processors were busy with something else is not counted. Raises ``TimeoutError``
    when the time is over.
    """
    clock = _StallClock()
    end = time.monotonic() + timeout
    met = False
    loop = qt.QEventLoop()

    def tick() -> None:
        nonlocal met
        clock.stop()
        met = bool(condition())
        if met or time.monotonic() > end:
            loop.quit()
        clock.start()

    timer = qt.QTimer()
    timer.timeout.connect(tick)
    timer.start(POLL_MS)
    if start:
        qt.QTimer.singleShot(0, start)
    loop.exec_()
    timer.stop()
    if not met:
        raise TimeoutError(f"{what} did not happen within {timeout:g} s")
    return clock.longest


class _StallClock:
    """The longest of several times, without the waiting for a processor."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.start()

    def start(self) -> None:
        self._started = time.monotonic() - _waited_for_processor()

    def stop(self) -> None:
        self.longest = max(self.longest, time.monotonic() - _waited_for_processor() - self._started)


def _waited_for_processor() -> float:
    """Seconds that this thread has waited for a processor so far; 0 where the system does not tell."""
    return int(SCHEDULE.read_text().split()[1]) * 1e-9 if SCHEDULE.exists() else 0.0
