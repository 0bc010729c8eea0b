"""A small server that speaks the part of WebHDFS that fsspec uses, in memory, on 127.0.0.1.

It does what Hadoop's specification of WebHDFS says: files are created and appended to in two
steps, and a rename to a name that is taken is refused by ``{"boolean": false}``.  Run as a
program it prints its port.
"""

import http.server
import json
import time
import urllib.parse


class Names(http.server.BaseHTTPRequestHandler):
    """The name node and the only data node."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    files: dict[str, bytes] = {}
    written: dict[str, int] = {}
    folders: set[str] = {"/"}

    def handle_any(self):
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path).removeprefix("/webhdfs/v1").rstrip("/") or "/"
        query = dict(urllib.parse.parse_qsl(url.query))
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        getattr(self, query["op"].lower())(path, query, body)

    do_GET = do_PUT = do_POST = do_DELETE = handle_any

    def getfilestatus(self, path, query, body):
        if path not in self.files and path not in self.folders:
            return self.missing(path)
        return self.reply({"FileStatus": self.status(path, "")})

    def liststatus(self, path, query, body):
        if path in self.files:
            found = [self.status(path, "")]
        elif path in self.folders:
            inside = path.rstrip("/") + "/"
            names = [p for p in (*self.files, *self.folders) if p.startswith(inside)]
            names = {n[len(inside) :] for n in names if n != "/"}
            found = [self.status(inside + n, n) for n in sorted(names) if "/" not in n]
        else:
            return self.missing(path)
        return self.reply({"FileStatuses": {"FileStatus": found}})

    def open(self, path, query, body):
        if path not in self.files:
            return self.missing(path)
        low = int(query.get("offset", 0))
        data = self.files[path][low:]
        return self.send(200, data[: int(query.get("length", len(data)))])

    def create(self, path, query, body):
        if "data" not in query:
            return self.send(307, b"", f"{self.path}&data=true")
        self.files[path] = body
        self.written[path] = int(time.time() * 1000)
        self.make_folders(path.rpartition("/")[0])
        return self.send(201, b"")

    def append(self, path, query, body):
        if "data" not in query:
            return self.send(307, b"", f"{self.path}&data=true")
        self.files[path] += body
        return self.send(200, b"")

    def mkdirs(self, path, query, body):
        self.make_folders(path)
        self.reply({"boolean": True})

    def rename(self, path, query, body):
        new = query["destination"]
        if path not in self.files or new in self.files:
            return self.reply({"boolean": False})
        self.files[new], self.written[new] = self.files.pop(path), self.written.pop(path)
        return self.reply({"boolean": True})

    def delete(self, path, query, body):
        for place in (self.files, self.folders):
            for each in list(place):
                if each == path or each.startswith(f"{path}/"):
                    place.pop(each) if place is self.files else place.discard(each)
        self.reply({"boolean": True})

    def make_folders(self, path):
        while path:
            self.folders.add(path)
            path = path.rpartition("/")[0]

    def status(self, path, suffix):
        kind = "FILE" if path in self.files else "DIRECTORY"
        return {
            "pathSuffix": suffix, "type": kind, "length": len(self.files.get(path, b"")),
            "modificationTime": self.written.get(path, 0),
        }  # fmt: skip

    def missing(self, path):
        text = {"exception": "FileNotFoundException", "message": f"File does not exist: {path}"}
        self.send(404, json.dumps({"RemoteException": text}).encode())

    def reply(self, value):
        self.send(200, json.dumps(value).encode())

    def send(self, status, data, location=None):
        self.send_response(status)
        if location:
            self.send_header("Location", f"http://{self.headers['Host']}{location}")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        """Nothing is printed."""


if __name__ == "__main__":
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Names) as server:
        print(server.server_port, flush=True)
        server.serve_forever()
