"""A real S3 server (moto's) in a process of its own, and a proxy that cuts connections.

Everything is on 127.0.0.1, on ports the system chooses.
"""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator

HOST = "127.0.0.1"
# The server does not check signatures, but who signs owns the object.
_SIGNED = (
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=none"
)


class S3Server:
    """Where the server is, and plain HTTP calls to it that do not go through Headrace."""

    def __init__(self, port: int):
        self.port = port
        self.endpoint = f"http://{HOST}:{port}"

    def call(
        self, method: str, path: str, body: bytes | None = None, public: bool = False
    ) -> bytes:
        # A form's content type, urllib's default, would make the server parse the body.
        headers = {"Content-Type": "application/octet-stream", "Authorization": _SIGNED}
        if public:
            headers["x-amz-acl"] = "public-read"
        request = urllib.request.Request(
            f"{self.endpoint}/{path}", data=body, headers=headers, method=method
        )
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.read()

    def put(self, path: str, body: bytes) -> None:
        self.call("PUT", path, body)

    def get(self, path: str) -> bytes:
        return self.call("GET", path)


@contextlib.contextmanager
def running_server() -> Iterator[S3Server]:
    for _ in range(3):  # the chosen port may be taken by somebody else meanwhile
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)],
            stdin=quiet, stdout=quiet, stderr=quiet,
        )  # fmt: skip
        try:
            if not _answers(process, port):
                continue
            yield S3Server(port)
            return
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
    raise RuntimeError("the S3 server did not start")


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    limit = time.monotonic() + 40
    while process.poll() is None and time.monotonic() < limit:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
            return True
        time.sleep(0.05)
    return False


class Proxy:
    """Passes TCP connections on to `port`, cutting the first `cuts` that carry more than
    `after` bytes of answer.

    Attributes:
        cut: how many connections were cut.
        ranges: the ``Range`` headers that were asked for.
    """

    def __init__(self, port: int, after: int = 0, cuts: int = 0):
        self._target, self._after, self._cuts = port, after, cuts
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.cut = 0
        self.ranges: list[tuple[int, int]] = []
        self._listener = socket.create_server((HOST, 0))
        self.endpoint = f"http://{HOST}:{self._listener.getsockname()[1]}"
        self._start(self._accept)

    def _start(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection((HOST, self._target), 10)
                server.settimeout(None)
            except OSError:
                return
            with self._lock:
                self._open |= {client, server}
            self._start(self._ask, client, server)
            self._start(self._answer, server, client)

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                for low, high in re.findall(rb"(?i)range: *bytes=(\d+)-(\d+)", data):
                    with self._lock:
                        self.ranges.append((int(low), int(high)))
                server.sendall(data)
        self._end(client, server)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 14):
                if self._cuts and passed + len(data) > self._after:
                    with self._lock:
                        self._cuts -= 1
                        self.cut += 1
                    client.sendall(data[: max(0, self._after - passed)])
                    break
                client.sendall(data)
                passed += len(data)
        self._end(client, server)

    def _end(self, *sockets: socket.socket) -> None:
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
            with self._lock:
                self._open.discard(each)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._end(*list(self._open))
        for thread in list(self._threads):
            thread.join(5)
