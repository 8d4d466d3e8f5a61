"""The network builder and strategies live beside the operators' tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "operators"))
