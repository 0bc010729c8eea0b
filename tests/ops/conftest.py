"""Lets the tests of ops import their harness: ``from harness import Case, ...``.

In pytest's importlib mode test files belong to no package, so that relative imports have
nothing to start from.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
