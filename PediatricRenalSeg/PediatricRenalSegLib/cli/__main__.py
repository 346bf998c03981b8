"""``python -m PediatricRenalSegLib.cli``: what the Slicer module starts."""

import sys

from . import main

sys.exit(main())
