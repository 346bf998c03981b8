"""Python packages that a module may have to install: nothing is installed here, every request is recorded.

Slicer 5.12 has ``slicer.packaging``, 5.10 has not; the PyTorch extension may be there or not, and torch with it.
A test sets which case it wants, and then looks at ``installed``.
"""

import importlib.metadata
import os
import subprocess
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import slicer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

Wanted = str | Requirement | Iterable[str | Requirement]
"""Requirements as Slicer takes them: one, or several in a text or a list."""


class Packages:
    """What is installed as far as the module can tell, and what it asked to install."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """All packages of this environment are there, and so is the PyTorch extension with torch."""
        self.missing: set[str] = set()
        self.installed: list[str] = []
        self.installing_fails = False
        self.torch_installed = True
        self.set_slicer_version("5.12")
        self.set_pytorch_extension(True)

    def set_slicer_version(self, version: str) -> None:
        slicer.app.setVersion(version)
        if version == "5.10":
            sys.modules["slicer.packaging"] = None  # type: ignore[assignment]  # with None an import fails
            vars(slicer).pop("packaging", None)
        else:
            sys.modules["slicer.packaging"] = slicer.packaging = self._packaging_module()

    def set_pytorch_extension(self, present: bool) -> None:
        module = self._pytorch_utils_module() if present else None
        sys.modules["PyTorchUtils"] = module  # type: ignore[assignment]  # with None an import fails

    def install(self, requirements: str | Iterable[str | Requirement]) -> None:
        """As ``slicer.util.pip_install``, without an installation."""
        wanted = requirements.split() if isinstance(requirements, str) else [str(one) for one in requirements]
        if self.installing_fails:
            raise subprocess.CalledProcessError(1, ["pip", "install", *wanted])
        self.installed += wanted
        self.missing -= {canonicalize_name(Requirement(one).name) for one in wanted}

    def is_satisfied(self, requirement: Requirement) -> bool:
        if canonicalize_name(requirement.name) in self.missing:
            return False
        try:
            return importlib.metadata.version(requirement.name) in requirement.specifier
        except importlib.metadata.PackageNotFoundError:
            return False

    def _packaging_module(self) -> types.ModuleType:
        module: Any = types.ModuleType("slicer.packaging", "package management of Slicer 5.12")
        module.load_requirements = load_requirements
        module.pip_check = lambda wanted: all(self.is_satisfied(one) for one in as_requirements(wanted))
        module.pip_install = lambda requirements, **options: self.install(requirements)
        module.pip_ensure = self._pip_ensure
        return module

    def _pip_ensure(
        self,
        requirements: Wanted,
        constraints: object = None,
        skip_packages: object = None,
        prompt_install: bool = True,
        prompt_restart: bool = True,
        requester: str | None = None,
        skip_in_testing: bool = True,
        show_progress: bool = True,
    ) -> None:
        """Install what is missing after asking. Raises ``RuntimeError`` when the user declines."""
        missing = [one for one in as_requirements(requirements) if not self.is_satisfied(one)]
        if not missing or (skip_in_testing and slicer.app.testingEnabled()):
            return
        title = f"{requester} - Install Python Packages" if requester else "Install Python Packages"
        question = f"{len(missing)} Python package(s) need to be installed.\n\nContinue?"
        details = "\n".join(f"- {one}" for one in missing)
        if prompt_install and not slicer.util.confirmOkCancelDisplay(question, title, detailedText=details):
            raise RuntimeError("User declined package installation")
        self.install(missing)

    def _pytorch_utils_module(self) -> types.ModuleType:
        module: Any = types.ModuleType("PyTorchUtils", "module of the PyTorch extension")
        packages = self

        class PyTorchUtilsLogic:
            """Installs PyTorch and hands it out."""

            @staticmethod
            def torchInstalled() -> bool:
                return packages.torch_installed

            def installTorch(
                self, askConfirmation: bool = False, torchVersionRequirement: str | None = None, **options: object
            ) -> types.ModuleType | None:
                """The module ``torch``, or None when the user declines."""
                if not packages.torch_installed:
                    question = "PyTorch will be downloaded and installed. Continue?"
                    if askConfirmation and not slicer.util.confirmOkCancelDisplay(question):
                        return None
                    packages.install([f"torch{torchVersionRequirement or ''}"])
                    packages.torch_installed = True
                return self.torch

            @property
            def torch(self) -> types.ModuleType:
                import torch

                return torch

        module.PyTorchUtilsLogic = PyTorchUtilsLogic
        return module


def load_requirements(path: str | os.PathLike) -> list[Requirement]:
    lines = (line.strip() for line in Path(path).read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def as_requirements(wanted: Wanted) -> list[Requirement]:
    if isinstance(wanted, str):
        wanted = wanted.split()
    return [Requirement(str(one)) for one in ([wanted] if isinstance(wanted, Requirement) else wanted)]
