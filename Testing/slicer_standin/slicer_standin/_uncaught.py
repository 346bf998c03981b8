"""Exceptions that leave a slot or an observer: Qt and VTK print them and go on, a test must not."""

import sys
import traceback


class UncaughtExceptions:
    """Collects what reaches ``sys.excepthook``. A test that expects an exception takes it out."""

    def __init__(self) -> None:
        self._found: list[BaseException] = []

    def install(self) -> None:
        sys.excepthook = lambda kind, exception, trace: self._found.append(exception)

    @staticmethod
    def uninstall() -> None:
        sys.excepthook = sys.__excepthook__

    def take(self, kind: type[BaseException] = Exception) -> BaseException:
        """The first uncaught exception of this type; it no longer counts as a failure."""
        found = next((exception for exception in self._found if isinstance(exception, kind)), None)
        assert found is not None, f"no uncaught {kind.__name__}; there are {self._found}"
        self._found.remove(found)
        return found

    def check(self) -> None:
        """Raises ``AssertionError`` with the tracebacks of what is left."""
        left, self._found = self._found, []
        assert not left, "\n".join("".join(traceback.format_exception(one)) for one in left)
