"""RemoteMonitor: each epoch's logs sent to a server over HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
import warnings
from typing import Any

import numpy as np

from .callback import Callback

__all__ = ["RemoteMonitor"]

_TIMEOUT_S = 30  # a server that does not answer must not stop the training for good


class RemoteMonitor(Callback):
    """Posts a JSON dictionary of the epoch's number and logs after each epoch.

    A server that cannot be reached is warned of, and training goes on.

    Args:
        root: the server's address.
        path: appended to it.
        field: name of the form's field that holds the JSON, unless `send_as_json`.
        headers: further HTTP headers.
        send_as_json: whether the JSON is the whole body, of type ``application/json``.
    """

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: dict[str, str] | None = None,
        send_as_json: bool = False,
    ):
        super().__init__()
        self.root = root
        self.path = path
        self.field = field
        self.headers = headers
        self.send_as_json = send_as_json

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Send the logs."""
        sent: dict[str, Any] = {"epoch": epoch}
        for name, value in (logs or {}).items():
            plain = isinstance(value, np.generic) or getattr(value, "size", 0) == 1
            sent[name] = value.item() if plain and hasattr(value, "item") else value
        text = json.dumps(sent)
        if self.send_as_json:
            body, kind = text.encode(), "application/json"
        else:
            body = urllib.parse.urlencode({self.field: text}).encode()
            kind = "application/x-www-form-urlencoded"
        request = urllib.request.Request(
            self.root + self.path, body, {"Content-Type": kind, **(self.headers or {})}
        )
        try:
            urllib.request.urlopen(request, timeout=_TIMEOUT_S).close()
        except urllib.error.HTTPError as answer:  # it was reached
            answer.close()
        except OSError:
            warnings.warn(
                f"Could not reach RemoteMonitor root server at {self.root}", stacklevel=2
            )
