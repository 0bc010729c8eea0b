"""A real PostgreSQL server in a process of its own, on a port of 127.0.0.1.

PostgreSQL refuses to run as root: started by root it runs as the system's user `postgres` or
`nobody`.  Durability is off; nothing outlives the test.
"""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HOST = "127.0.0.1"


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, or None where it is not installed."""
    places = [*glob.glob("/usr/lib/postgresql/*/bin"), *os.environ["PATH"].split(os.pathsep)]
    return next((Path(p) for p in places if Path(p, "initdb").exists()), None)


@contextlib.contextmanager
def running_server() -> Iterator[str]:
    """The URI of a server's empty database."""
    where = programs()
    assert where is not None
    folder = tempfile.mkdtemp(prefix="headrace-postgres-")
    identity = {}
    if os.geteuid() == 0:
        known = {p.pw_name: p for p in pwd.getpwall()}
        user = known.get("postgres") or known["nobody"]
        os.chown(folder, user.pw_uid, user.pw_gid)
        identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "cwd": folder,
             "env": {"PATH": os.environ["PATH"], "LC_ALL": "C"}, **identity}  # fmt: skip
    process = None
    try:
        subprocess.run(
            [where / "initdb", "-D", f"{folder}/data", "-A", "trust", "-U", "rower",
             "-E", "UTF8", "--no-sync"],
            check=True, stderr=subprocess.DEVNULL, timeout=60, **quiet,
        )  # fmt: skip
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        process = subprocess.Popen(
            [where / "postgres", "-D", f"{folder}/data", "-h", HOST, "-p", str(port), "-F",
             "-k", ""], stderr=subprocess.DEVNULL, **quiet,
        )  # fmt: skip
        _wait(where, process, port)
        yield f"postgresql://rower@{HOST}:{port}/postgres"
    finally:
        if process is not None:
            process.send_signal(signal.SIGQUIT)  # "immediate shutdown"
            process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(where: Path, process: subprocess.Popen[bytes], port: int) -> None:
    limit = time.monotonic() + 30
    ask = [where / "pg_isready", "-q", "-h", HOST, "-p", str(port)]
    while process.poll() is None and time.monotonic() < limit:
        if subprocess.run(ask, timeout=10).returncode == 0:
            return
        time.sleep(0.05)
    raise RuntimeError("the PostgreSQL server did not start")
