"""Where the network can run on this computer, in words for the window. PyTorch stays in a worker process."""

from collections.abc import Callable

from slicer.i18n import tr as _

from . import install
from .parameters import Device
from .task import Task

ListDevices = Callable[[Callable[[list[dict]], None]], Task]
"""As ``PediatricRenalSegLogic.listDevices``."""


class Devices:
    """The devices there are; none as long as no worker has told them.

    list_devices: starts the worker, as ``jobs.list_devices``. changed: called when it has told.
    """

    def __init__(self, list_devices: ListDevices, changed: Callable[[], None]) -> None:
        self._list_devices, self._changed = list_devices, changed
        self._found: list[dict] = []
        self._task: Task | None = None

    def ask(self) -> None:
        """Let a worker look for them, if none has yet and PyTorch is there."""
        if not self._found and not install.missing_packages():
            self._task = self._list_devices(self._on_found)

    def _on_found(self, found: list[dict]) -> None:
        self._found = found
        self._changed()

    def clean_up(self) -> None:
        """The window is closed: nothing goes on."""
        if self._task is not None:
            self._task.cancel()

    def problem(self, chosen: Device) -> str:
        """Why nothing can run where it is wanted; empty if it can, or if nobody knows."""
        if not self._found or self._of(chosen):
            return ""
        text = _("This computer has no device of the kind that is chosen ({device}): choose another one.")
        return text.format(device=chosen.label())

    def summary(self, chosen: Device) -> str:
        """What will run where, after what installations; empty if nobody knows."""
        missing = install.missing_packages()
        if missing:
            return _("Will be installed first, after asking: {names}.").format(names=", ".join(missing))
        device = next(iter(self._of(chosen)), None)
        if device is None:
            return ""
        if device["free_bytes"] is None:
            return _("Runs on: {name}").format(name=device["name"])
        text = _("Runs on: {name}, {free:.0f} GB of memory free")
        return text.format(name=device["name"], free=device["free_bytes"] / 2**30)

    def _of(self, chosen: Device) -> list[dict]:
        """Those of a kind; the first is the one that is taken."""
        return [device for device in self._found if chosen in (Device.AUTO, Device(device["id"]))]
