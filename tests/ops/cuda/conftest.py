"""Lets these tests import their helpers, as tests/ops does."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
