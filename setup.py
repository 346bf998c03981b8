"""Everything about the package stands in ``pyproject.toml``; here is what only a wheel needs.

Slicer wants the models in ``PediatricRenalSeg/Resources``, beside the library. A wheel has nothing beside the
library, so its copy of them lies within. An editable install needs no copy: it finds them where Slicer does.
"""

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithModels(build_py):
    """Builds the library with the models within."""

    def run(self) -> None:
        """Build as always, then copy the models."""
        super().run()
        if not self.editable_mode:
            self.copy_tree(
                "PediatricRenalSeg/Resources/Models", f"{self.build_lib}/PediatricRenalSegLib/Resources/Models"
            )


setup(cmdclass={"build_py": BuildWithModels})
