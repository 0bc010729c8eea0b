"""Lets these tests import their helpers, as tests/ops does."""

import sys
from pathlib import Path

import pytest

pytest.register_assert_rewrite("ptx_device")
sys.path.insert(0, str(Path(__file__).parent))
