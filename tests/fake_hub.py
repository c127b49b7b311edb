"""A Hub of one process on loopback: as much of its HTTP interface as huggingface_hub uses to publish and fetch."""

import base64
import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from huggingface_hub import constants


class Hub(BaseHTTPRequestHandler):
    """Repositories are folders OWNER/NAME of `root`, a commit of one is a folder in it; "main" names the last."""

    root: Path
    protocol_version = "HTTP/1.1"

    def log_message(self, *words: object) -> None:
        """Say nothing."""

    def answer(self, content: Any, status: int = 200, **headers: str) -> None:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def commit(self, owner: str, name: str, revision: str) -> Path | None:
        repository = self.root / owner / name
        last = repository / "main"
        sha = last.read_text() if revision == "main" and last.is_file() else revision
        return repository / sha if (repository / sha).is_dir() else None

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        parts = self.path.strip("/").split("/")
        if parts[:3] == ["api", "repos", "create"]:
            told = json.loads(body)
            repository = self.root / told.get("organization", "owner") / told["name"]
            exists = repository.exists()
            repository.mkdir(parents=True, exist_ok=True)
            self.answer({"url": f"http://{self.headers['Host']}/owner/{told['name']}"}, 409 if exists else 200)
        elif parts[:2] == ["api", "validate-yaml"]:
            self.answer({"errors": [], "warnings": []})
        elif parts[4] == "preupload":
            files = [{"path": one["path"], "uploadMode": "regular"} for one in json.loads(body)["files"]]
            self.answer({"files": [one | {"shouldIgnore": False, "oid": None} for one in files]})
        else:
            sha = hashlib.sha1(body.encode()).hexdigest()
            repository = self.root / parts[2] / parts[3]
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    path = repository / sha / line["value"]["path"]
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(base64.b64decode(line["value"]["content"]))
            (repository / "main").write_text(sha)
            url = f"http://{self.headers['Host']}/{parts[2]}/{parts[3]}/commit/{sha}"
            self.answer({"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})

    def do_GET(self) -> None:
        parts = [unquote(part) for part in self.path.partition("?")[0].strip("/").split("/")]
        if parts[:2] == ["api", "whoami-v2"]:
            self.answer({"name": "owner", "type": "user", "orgs": []})
            return
        if len(parts) < 4:
            self.answer({"error": "not found"}, 404)
            return
        if parts[0] == "api":
            owner, name, revision = parts[2], parts[3], parts[5] if len(parts) > 5 else "main"
        else:
            owner, name, revision = parts[0], parts[1], parts[3]
        folder = self.commit(owner, name, revision)
        if folder is None:
            self.answer({"error": "not found"}, 404, X_Error_Code="RevisionNotFound")
        elif parts[0] == "api" and parts[4:5] == ["tree"]:
            sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
            self.answer([{"type": "file", "path": n, "size": size, "oid": "0" * 40} for n, size in sizes.items()])
        elif parts[0] == "api":
            files = [{"rfilename": path.name} for path in sorted(folder.iterdir())]
            self.answer({"id": f"{owner}/{name}", "sha": folder.name, "siblings": files, "tags": [], "private": False})
        else:
            content = (folder / parts[4]).read_bytes()
            etag = f'"{hashlib.sha1(content).hexdigest()}"'
            self.answer(content, ETag=etag, X_Repo_Commit=folder.name)

    do_HEAD = do_GET


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Hub that is up during a test; gives the folder of its repositories."""
    root = tmp_path / "hub"
    root.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Hub,), {"root": root}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", place)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", place + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_made_up")
    try:
        yield root
    finally:
        server.shutdown()
        server.server_close()
        shutil.rmtree(tmp_path / "hub-cache", ignore_errors=True)
