"""``PythonSlicer``: the Python of Slicer as a program.

Slicer's is a launcher that starts the interpreter as a child process, so killing the process that was started
does not end the work. A shell script does the same here, so that a test notices.
"""

import os
import sys
from pathlib import Path


def install_python_slicer(slicer_home: Path) -> Path:
    """Write the launcher to ``bin`` and put that on the search path of programs, as Slicer does."""
    folder = slicer_home / "bin"
    folder.mkdir()
    launcher = folder / "PythonSlicer"
    launcher.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n')
    launcher.chmod(0o755)
    os.environ["PATH"] = os.pathsep.join([str(folder), os.environ.get("PATH", "")])
    return launcher
