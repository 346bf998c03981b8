"""Where a network can run: the choice, names and free memory."""

import ctypes
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from .errors import InputError


@dataclass(frozen=True)
class Device:
    """One device that is present."""

    id: str
    """As for ``choose_device``."""
    name: str
    free_bytes: int | None
    """Memory that is free now; ``None`` where the system does not tell."""

    @property
    def text(self) -> str:
        """Name and free memory, for the user."""
        free = f", {self.free_bytes / 2**30:.0f} GB of memory free" if self.free_bytes is not None else ""
        return f"{self.name}{free}"


def choose_device(name: str) -> torch.device:
    """``auto`` takes CUDA, then Apple's MPS, then the processor. Raises ``InputError`` for an absent device."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, found in present.items() if found))
    if name not in present:
        raise InputError(f"Unknown device {name!r}: choose auto, cpu, cuda or mps.")
    if not present[name]:
        raise InputError(f"The device {name!r} was asked for, but PyTorch finds none here: choose auto or cpu.")
    return torch.device(name)


def list_devices() -> list[Device]:
    """The devices that are present; the first is the one that ``auto`` takes, the last the processor."""
    processor = Device("cpu", _processor_name(), _free_memory())
    automatic = choose_device("auto").type
    if automatic == "cuda":
        return [Device("cuda", torch.cuda.get_device_name(), torch.cuda.mem_get_info()[0]), processor]
    if automatic == "mps":
        return [Device("mps", f"Apple GPU of {processor.name}", torch.mps.recommended_max_memory()), processor]
    return [processor]


def _processor_name() -> str:
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        return names[0] if names else platform.machine()
    return platform.processor() or platform.machine()


def _free_memory() -> int | None:
    """Bytes of main memory that can be had without swapping; macOS does not tell in one call."""
    if sys.platform == "linux":
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) * 1024
    if sys.platform == "win32":
        status = _MemoryStatus(dwLength=ctypes.sizeof(_MemoryStatus))
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return status.ullAvailPhys
    return None


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API (sysinfoapi.h)."""

    _fields_ = [("dwLength", ctypes.c_uint32), ("dwMemoryLoad", ctypes.c_uint32)] + [
        (name, ctypes.c_uint64)
        for name in (
            "ullTotalPhys",
            "ullAvailPhys",
            "ullTotalPageFile",
            "ullAvailPageFile",
            "ullTotalVirtual",
            "ullAvailVirtual",
            "ullAvailExtendedVirtual",
        )
    ]
