"""A small server that speaks as much of W&B's protocol as a run needs, on this machine only."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    """It notes runs by id: ``name``, ``config``, ``history`` (rows), ``exitcode``; ``files`` that were uploaded."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs: dict[str, dict[str, Any]] = {}
        self.broken = False  # answers nothing but errors
        self.url = f"http://127.0.0.1:{self.server_port}"

    def answer(self, operation: str, given: dict[str, Any]) -> Any:
        """Answer a query of GraphQL."""
        if operation == "Viewer":
            return {"viewer": {"id": "1", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}}
        if operation == "RunResumeStatus":
            known = self.runs.get(given["name"])
            return {
                "model": {
                    "id": "1",
                    "name": "p",
                    "entity": {"id": "1", "name": "me"},
                    "bucket": known and self.bucket(given["name"]),
                }
            }
        if operation == "UpsertBucket":
            run = self.runs.setdefault(given["name"], {"config": {}, "history": [], "files": {}})
            run["name"] = given["displayName"] or run["name"]
            run["config"] |= json.loads(given["config"] or "{}")
            return {"upsertBucket": {"bucket": self.bucket(given["name"]), "inserted": not run["history"]}}
        if operation == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.url}/upload/{given['run']}/{name}"} for name in given["files"]]
            return {"createRunFiles": {"runID": "1", "uploadHeaders": [], "files": files}}
        return {}

    def bucket(self, name: str) -> dict[str, Any]:
        """What the server says of a run."""
        run = self.runs[name]
        lines = len(run["history"])
        tail = json.dumps([json.dumps(row) for row in run["history"][-1:]])
        project = {"id": "1", "name": "p", "entity": {"id": "1", "name": "me"}}
        return {
            "id": name,
            "name": name,
            "displayName": run["name"],
            "config": json.dumps(run["config"]),
            "project": project,
            "summaryMetrics": "{}",
            "historyLineCount": lines,
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": tail,
            "eventsTail": "[]",
            "tags": [],
            "wandbConfig": json.dumps({"t": 1}),
        }

    def stream(self, name: str, sent: dict[str, Any]) -> None:
        """Note rows of the history, where the client says that they belong."""
        run = self.runs[name]
        rows = sent.get("files", {}).get("wandb-history.jsonl")
        if rows:
            run["history"][rows["offset"] :] = [json.loads(line) for line in rows["content"]]
        if sent.get("complete"):
            run["exitcode"] = sent["exitcode"]


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        reply: Any = {}
        parts = self.path.split("/")
        if self.path == "/graphql" and not self.server.broken:
            query = json.loads(body)
            (operation,) = re.findall(r"(?:query|mutation)\s+(\w+)", query["query"])
            reply = {"data": self.server.answer(operation, query.get("variables") or {})}
        elif parts[-1] == "file_stream":
            self.server.stream(parts[-2], json.loads(body))
        elif parts[1] == "upload":
            self.server.runs[parts[2]]["files"]["/".join(parts[3:])] = body
        out = json.dumps(reply).encode()
        self.send_response(400 if self.server.broken else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)

    do_GET = do_PUT = do_POST

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[Server]:
    """Serve until the context ends."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
