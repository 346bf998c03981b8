"""PyTorch and the few packages that Slicer does not bring: installed when they are needed, and after asking."""

import importlib.metadata
import importlib.util
import re
import subprocess
from pathlib import Path

import slicer
from slicer.i18n import tr as _

REQUIREMENTS = Path(__file__).resolve().parents[2] / "Resources" / "requirements.txt"
TORCH = ">=2.2"
"""The last builds for macOS on Intel are 2.2."""


class NotInstalled(RuntimeError):
    """Something is missing and was not installed; the message says what and what to do."""


def missing_packages() -> list[str]:
    """Lines of ``requirements.txt`` whose package is absent, and ``torch``. Nothing is imported to find out."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    return ([] if _is_torch_present() else [f"torch{TORCH}"]) + [line for line in wanted if not _is_present(line)]


def ensure_installed() -> None:
    """Ask, then install what is missing.

    Raises ``NotInstalled`` when the user declines, an extension is missing or the installation fails.
    """
    try:
        if not _is_torch_present():
            _install_torch()
        packages = [line for line in missing_packages() if not line.startswith("torch")]
        if packages:
            _install_packages(packages)
    except subprocess.CalledProcessError as error:
        raise NotInstalled(
            _("The installation failed: check the connection to the Internet and the space left, then try again.")
        ) from error


def _is_torch_present() -> bool:
    return importlib.util.find_spec("torch") is not None


def _is_present(requirement: str) -> bool:
    try:
        importlib.metadata.version(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _install_torch() -> None:
    """Through the extension PyTorch, which finds the build that fits the graphics card."""
    try:
        import PyTorchUtils
    except ModuleNotFoundError:
        raise NotInstalled(
            _(
                "PyTorch is missing: install the extension 'PyTorch' with the Extensions Manager, restart Slicer and "
                "try again."
            )
        ) from None
    logic = PyTorchUtils.PyTorchUtilsLogic()
    if logic.installTorch(askConfirmation=True, torchVersionRequirement=TORCH) is None:
        raise NotInstalled(_("PyTorch was not installed: this module cannot work without it."))


def _install_packages(packages: list[str]) -> None:
    names = ", ".join(packages)
    try:
        from slicer import packaging
    except ImportError:  # Slicer 5.10
        question = _("These Python packages are needed and will be downloaded and installed: {names}.")
        if not slicer.util.confirmOkCancelDisplay(question.format(names=names)):
            raise _declined(names) from None
        slicer.util.pip_install(packages)
        return
    try:
        packaging.pip_ensure(packages, requester="Pediatric Renal Segmentation")
    except RuntimeError:  # what Slicer raises when the user declines
        raise _declined(names) from None


def _declined(names: str) -> NotInstalled:
    return NotInstalled(
        _("These packages were not installed, and this module cannot work without them: {names}.").format(names=names)
    )
