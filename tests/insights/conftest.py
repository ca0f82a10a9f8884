"""The scripts of the data project are imported from where they are."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "insights" / "scripts"))
