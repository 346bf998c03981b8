"""How far a run is: what stages report, and to whom."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a stage is."""

    stage: str
    done: int
    total: int
    seconds_left: float | None = None


NETWORK = "network"
"""The stage under which a pipeline reports ``done`` of ``total`` slices or patches."""

ProgressCallback = Callable[[Progress], None]
"""Called between batches; it may raise ``errors.Cancelled``, which ends the run."""


def ignore(_: Progress) -> None:
    """The callback of those who do not want to know."""


class Stages:
    """Announces each stage and takes its time: ``with stages("read"): …``."""

    def __init__(self, progress: ProgressCallback) -> None:
        self.progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Run a stage; ``seconds[name]`` is there when it has ended without an error."""
        self.progress(Progress(name, 0, 1))
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started
