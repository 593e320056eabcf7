"""As much of a W&B server as the client needs to believe in it, and the ways in which one fails."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Server", "serving"]


class Server(ThreadingHTTPServer):
    """Answers on loopback, as its mood is.

    Args:
        mood: ``well``; ``key``: refuses every key; ``mute``: takes all and answers nothing.
        lives: How many runs may begin before it cuts every connection; None for all.
    """

    daemon_threads = True

    def __init__(self, mood: str, lives: int | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.mood, self.lives = mood, lives
        self.begun: list[str] = []
        self.history: dict[str, list[dict[str, Any]]] = {}
        self.files: dict[str, bytes] = {}
        self.artifacts: list[dict[str, Any]] = []
        self.committed: list[str] = []
        self.over = threading.Event()

    @property
    def url(self) -> str:
        """What ``WANDB_BASE_URL`` is to be."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def is_dead(self) -> bool:
        """Did enough runs begin?"""
        return self.lives is not None and len(self.begun) >= self.lives

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go are no fault of a test."""


@contextmanager
def serving(mood: str, lives: int | None = None) -> Iterator[Server]:
    """A server for as long as the block runs."""
    with Server(mood, lives) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *said: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self._answer(b"")

    do_PUT = do_POST = do_GET  # noqa: N815 - names of the standard library

    def handle_one_request(self) -> None:
        if self.server.mood == "mute":
            self.server.over.wait()
            self.close_connection = True
            return
        super().handle_one_request()

    def _answer(self, _: bytes) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.is_dead:
            reset = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            self.connection.close()
            self.close_connection = True
        elif self.server.mood == "key":
            self._send(401, {"errors": [{"message": "user is not logged in"}]})
        elif self.path.startswith("/graphql"):
            self._send(200, {"data": self._data(json.loads(body))})
        else:
            self._keep(body)
            self._send(200, {})

    def _send(self, code: int, answer: dict[str, Any]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _data(self, question: dict[str, Any]) -> dict[str, Any]:
        text, given = question["query"], question.get("variables") or {}
        if text.lstrip().startswith("query Viewer"):
            return {"viewer": {"id": "u", "entity": "me", "username": "me", "email": "me@here",
                               "flags": "{}", "teams": {"edges": []}}}  # fmt: skip
        if "rtifact" in text:
            return self._artifact(text, given)
        if "upsertBucket" in text:
            self.server.begun.append(given["name"])
            project = {"id": "p", "name": given["project"], "entity": {"id": "e", "name": "me"}}
            bucket = {"id": "b", "name": given["name"], "project": project, "config": "{}"}
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if "createRunFiles" in text:
            files = [{"name": f, "uploadUrl": f"{self.server.url}/{f}"} for f in given["files"]]
            return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
        return {}

    def _artifact(self, text: str, given: dict[str, Any]) -> dict[str, Any]:
        """Takes every artifact, and wants all its files."""
        if "mutation CreateArtifact " in text:
            self.server.artifacts.append(given["input"])
            number = len(self.server.artifacts)
            artifact = {"id": f"a{number}", "state": "PENDING",
                        "artifactSequence": {"id": "s", "latestArtifact": None}}  # fmt: skip
            return {"createArtifact": {"artifact": artifact}}
        for name in ("createArtifactManifest", "updateArtifactManifest"):
            if name in text:
                place = given.get("artifactID") or given["artifactManifestID"]
                return {name: {"artifactManifest": {"id": place, "file": self._place(place)}}}
        if "mutation CreateArtifactFiles" in text:
            wanted = given["input"]["artifactFiles"]
            nodes = [self._place(f"{one['artifactID']}/{one['name']}") | {
                "name": one["name"], "displayName": one["name"], "storagePath": None,
                "uploadMultipartUrls": None, "artifact": {"id": one["artifactID"]},
            } for one in wanted]  # fmt: skip
            return {"createArtifactFiles": {"files": {"edges": [{"node": one} for one in nodes]}}}
        if "mutation CommitArtifact" in text:
            self.server.committed.append(given["artifactID"])
            return {"commitArtifact": {"artifact": {"id": given["artifactID"], "digest": "d"}}}
        return {"project": None}

    def _place(self, name: str) -> dict[str, Any]:
        return {"id": name, "uploadUrl": f"{self.server.url}/artifact/{name}", "uploadHeaders": []}

    def _keep(self, body: bytes) -> None:
        """Files, and rows of history that were streamed."""
        if not self.path.endswith("file_stream"):
            self.server.files[self.path.lstrip("/")] = body
            return
        run = self.path.split("/")[-2]
        lines = json.loads(body).get("files", {}).get("wandb-history.jsonl", {}).get("content", [])
        self.server.history.setdefault(run, []).extend(json.loads(line) for line in lines)
