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
    `after` bytes of answer, or of question if `asking`.  The first `slow` requests it answers
    itself: "SlowDown".

    Attributes:
        cut: how many connections were cut.
        slowed: how many requests were told to slow down.
        ranges: the ``Range`` headers that were asked for.
        asked: the methods and paths that were asked for.
    """

    def __init__(
        self, port: int, after: int = 0, cuts: int = 0, asking: bool = False, slow: int = 0
    ):
        self._target, self._after, self._cuts = port, after, cuts
        self._asking, self._slow = asking, slow
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.cut = self.slowed = 0
        self.ranges: list[tuple[int, int]] = []
        self.asked: list[tuple[str, str]] = []
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
                with self._lock:
                    slow, self._slow = self._slow > 0, max(0, self._slow - 1)
                if slow:
                    self._start(self._tell_to_slow_down, client)
                    continue
                server = socket.create_connection((HOST, self._target), 10)
                server.settimeout(None)
            except OSError:
                return
            with self._lock:
                self._open |= {client, server}
            self._start(self._ask, client, server)
            self._start(self._answer, server, client)

    def _tell_to_slow_down(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data and (more := client.recv(1 << 16)):
                data += more
            head, _, body = data.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            missing = int(length.group(1)) - len(body) if length else 0
            while missing > 0 and (more := client.recv(1 << 16)):
                missing -= len(more)
            text = b"<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>"
            client.sendall(
                b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\n"
                b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)
            )
            with self._lock:
                self.slowed += 1
        self._end(client)

    def _is_cut(self, passed: int) -> bool:
        """Whether a connection that carried so many bytes is to be cut."""
        with self._lock:
            if self._cuts <= 0 or passed <= self._after:
                return False
            self._cuts -= 1
            self.cut += 1
        return True

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                passed += len(data)
                if self._asking and self._is_cut(passed):
                    server.sendall(data[: len(data) // 2])
                    break
                for method, path in re.findall(rb"(GET|HEAD) (\S+) HTTP/1.1\r\n", data):
                    with self._lock:
                        self.asked.append((method.decode(), path.decode()))
                for low, high in re.findall(rb"(?i)range: *bytes=(\d+)-(\d+)", data):
                    with self._lock:
                        self.ranges.append((int(low), int(high)))
                server.sendall(data)
        self._end(client, server)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 14):
                if not self._asking and self._is_cut(passed + len(data)):
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
