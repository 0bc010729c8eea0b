"""A small server that speaks the part of Google Cloud Storage's JSON API that Arrow uses.

Run as a program it serves one bucket on 127.0.0.1 and prints its port: in a process of its own,
because Arrow holds Python's lock during some of its requests.
"""

import http.server
import json
import re
import urllib.parse


class Store(http.server.BaseHTTPRequestHandler):
    """One bucket named `bucket`.  Downloads break off as long as `breaks`, the length of what
    was put at /breaks, is positive."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    objects: dict[str, bytes] = {}
    breaks = 0

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        found = re.match(r"(?:/download)?/storage/v1/b/([^/]+)/o(?:/(.*))?$", url.path)
        name = found and found.group(2) and urllib.parse.unquote(found.group(2))
        query = dict(urllib.parse.parse_qsl(url.query))
        if found and found.group(1) == "closed":
            self.reply(403)
        elif found is None or found.group(1) != "bucket":
            # The XML API, by which bytes are read.
            name = urllib.parse.unquote(url.path).removeprefix("/bucket/")
            self.download(name) if name in self.objects else self.reply(404)
        elif name is None:
            self.list(query.get("prefix", ""), query.get("delimiter", ""))
        elif name not in self.objects:
            self.reply(404)
        elif query.get("alt") == "media":
            self.download(name)
        else:
            self.reply(200, self.metadata(name))

    def metadata(self, name):
        return {
            "kind": "storage#object", "id": name, "name": name, "bucket": "bucket",
            "generation": "1", "metageneration": "1", "size": str(len(self.objects[name])),
            "timeCreated": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z",
        }  # fmt: skip

    def list(self, prefix, delimiter):
        items, prefixes = [], set()
        for name in sorted(self.objects):
            if name.startswith(prefix):
                inner, deep, _ = name[len(prefix) :].partition(delimiter or "\0")
                if deep:
                    prefixes.add(prefix + inner + delimiter)
                else:
                    items.append(self.metadata(name))
        self.reply(200, {"items": items, "prefixes": sorted(prefixes)})

    def download(self, name):
        data = self.objects[name]
        low, high = 0, len(data) - 1
        if asked := re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            low, high = int(asked.group(1)), int(asked.group(2) or high)
        part = data[low : high + 1]
        self.send_response(206 if low or high + 1 < len(data) else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {low}-{low + len(part) - 1}/{len(data)}")
        self.end_headers()
        if type(self).breaks > 0 and len(part) > 1000:
            type(self).breaks -= 1
            self.close_connection = True
            part = part[: len(part) // 3]
        self.wfile.write(part)

    def do_DELETE(self):
        found = re.match(r"/storage/v1/b/bucket/o/(.*)$", urllib.parse.urlsplit(self.path).path)
        known = found and self.objects.pop(urllib.parse.unquote(found.group(1)), None)
        self.reply(404 if known is None else 204)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        host = self.headers["Host"]
        self.send_response(200)
        self.send_header("Location", f"http://{host}/up?name={query['name']}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_PUT(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/breaks":
            type(self).breaks = len(body)
            return self.reply(200)
        self.objects[query["name"]] = body
        return self.reply(200, self.metadata(query["name"]))

    def reply(self, status, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        """Nothing is printed."""


if __name__ == "__main__":
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        print(server.server_port, flush=True)
        server.serve_forever()
