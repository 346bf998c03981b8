"""Work side by side in threads, for what leaves Python's lock to others: ITK, VTK, SciPy, compression."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def side_by_side(function: Callable[[Item], Made], items: Iterable[Item]) -> list[Made]:
    """What ``function`` makes of each item, in their order.

    Raises what the first of them raises; then, and when the user stops the program, nothing more is begun.
    """
    pool = ThreadPoolExecutor()
    try:
        return list(pool.map(function, items))
    finally:
        pool.shutdown(cancel_futures=True)
