"""What all tests share: the peers, and no thread or warning left behind by importing them."""

import gzip
import json
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import warnings
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings

# The peers say on stderr what hardware they found; a failing test's output should not.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

# Helpers of several folders' tests, before any of them is imported.
pytest.register_assert_rewrite("harness", "device_checks", "ptx_device")

# How long an example takes says nothing on a machine that others use, too.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


@pytest.fixture(scope="session")
def tf():
    """TensorFlow, the oracle; the test is skipped where the extra `peers` is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("tensorflow", reason="needs the extra `peers`")


def pytest_collection_modifyitems(items):
    """A test that takes TensorFlow as a fixture is a comparison with a peer."""
    for item in items:
        if "tf" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.peers)


@pytest.fixture(autouse=True)
def _no_seed_left_behind():
    """A global seed that a test sets would decide the next test's unseeded shuffles."""
    yield
    random_ops = sys.modules.get("headrace.ops.random_ops")
    if random_ops is not None and random_ops.global_seed() is not None:
        random_ops._seeds.set(None)


# A process of its own, without TensorFlow, whose C++ the server's threads would be in when the
# process of the tests ends.  It ends with its input.
_BOARD = """
import os, sys, types
sys.modules["tensorboard.compat.notf"] = types.ModuleType("notf")
from tensorboard import program
board = program.TensorBoard()
board.configure(argv=["tensorboard", "--logdir", sys.argv[1], "--port", "0", "--host",
                      "127.0.0.1", "--load_fast", "false", "--reload_interval", "1"])
print(board.launch(), flush=True)
sys.stdin.read()
os._exit(0)
"""


class TensorBoardClient:
    """A TensorBoard on loopback."""

    started: ClassVar[list] = []

    def __init__(self, logdir):
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOARD, str(logdir)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.started.append(self)
        self.url = self._process.stdout.readline().strip()
        assert self.url.startswith("http"), "TensorBoard did not start"

    def close(self):
        self._process.communicate("", timeout=60)

    def get(self, path, **query):
        at = f"{self.url}data/{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        with urllib.request.urlopen(at, timeout=20) as reply:
            found = reply.read()
            zipped = reply.headers.get("Content-Encoding") == "gzip"
            return gzip.decompress(found) if zipped else found

    def post(self, path, body):
        """The JSON reply to a JSON request."""
        request = urllib.request.Request(
            f"{self.url}data/{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as reply:
            return json.loads(reply.read())

    def json(self, path, **query):
        return json.loads(self.get(path, **query))

    def wait(self, path, ready):
        """The reply, once the event files are loaded as far as `ready` asks."""
        end = time.monotonic() + 60
        while not ready(found := self.json(path)):
            assert time.monotonic() < end, f"{path} still gives {found}"
            time.sleep(0.2)
        return found


@pytest.fixture(scope="session")
def tensorboard_client():
    """Starts a TensorBoard on loopback for a folder and speaks with it."""
    yield TensorBoardClient
    while TensorBoardClient.started:
        TensorBoardClient.started.pop().close()
