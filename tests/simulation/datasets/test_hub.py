"""Data sets from the hub, against a local server that speaks enough of its language."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from configs.errors import ConfigError
from simulation.datasets.paper_reader import open_folders

ROOT = Path(__file__).parents[3]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "somebody/small-set"
LOADS = """
import sys
from configs.errors import OpticalNetError
from simulation.datasets.paper_reader import open_folders
try:
    for path, folder in open_folders(sys.argv[1], 3).items():
        print(path, folder.k.tolist(), folder.frames()[:, 0, 0].tolist())
except OpticalNetError as error:
    print(type(error).__name__, error)
"""


class Hub(BaseHTTPRequestHandler):
    """The few addresses that the download of a data set asks for."""

    def do_GET(self):
        files = self.server.files
        api, datasets = f"/api/datasets/{NAME}", f"/datasets/{NAME}/resolve/{COMMIT}/"
        path = self.path.partition("?")[0]
        if self.server.broken:
            self._answer(503, b"")
        elif path == f"{api}/revision/main":
            siblings = [{"rfilename": name} for name in files]
            self._json({"id": NAME, "sha": COMMIT, "siblings": siblings})
        elif path == f"{api}/tree/{COMMIT}":
            self._json(
                [
                    {"type": "file", "path": name, "size": len(data), "oid": oid(data)}
                    for name, data in files.items()
                ]
            )
        elif path.startswith(datasets) and self.server.lost:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        elif path.startswith(datasets) and path.removeprefix(datasets) in files:
            data = files[path.removeprefix(datasets)]
            self.server.sent.add(path.removeprefix(datasets))
            self._answer(200, data, {"ETag": f'"{oid(data)}"', "X-Repo-Commit": COMMIT})
        elif path.startswith("/api/datasets/somebody/guarded/"):
            self._answer(403, b"", {"X-Error-Code": "GatedRepo"})
        else:
            self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def _json(self, value):
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status, data, headers=()):
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *arguments):
        pass


def oid(data):
    return hashlib.sha1(data).hexdigest()


@pytest.fixture
def hub(tmp_path):
    """A server with a small set, and something beside it that nobody wants."""
    for kind, side in (("img", 8), ("mask", 3)):
        folder = tmp_path / "published" / "test" / "SS" / kind
        folder.mkdir(parents=True)
        for k in (0, 1, 66):
            value = k if kind == "img" else 0
            Image.fromarray(np.full((side, side), value, np.uint8)).save(folder / f"{k}.tif")
    files = [path for path in (tmp_path / "published").rglob("*") if path.is_file()]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.files = {
        path.relative_to(tmp_path / "published").as_posix(): path.read_bytes() for path in files
    }
    server.files["weights.bin"] = b"large"
    server.sent, server.broken, server.lost = set(), False, False
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def load(name, port, home):
    """Open a set in a process of its own: the hub's package reads its settings once."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "HF_HOME": str(home),
        "NO_PROXY": "127.0.0.1",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOADS, name],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_set_comes_from_the_hub_and_stays_when_the_network_goes(hub, tmp_path):
    expected = "test/SS [0, 1, 66] [0, 1, 66]\n"
    assert load(f"hf://{NAME}", hub.server_port, tmp_path) == expected
    assert hub.sent == set(hub.files) - {"weights.bin"}
    hub.broken = True
    assert load(f"hf://{NAME}", hub.server_port, tmp_path) == expected


def test_names_that_the_hub_does_not_have_or_not_for_everybody(hub, tmp_path):
    said = load("hf://somebody/else", hub.server_port, tmp_path)
    assert said.startswith("ConfigError hf://somebody/else: no such data set on the hub;")
    said = load("hf://somebody/guarded", hub.server_port, tmp_path)
    assert said.startswith("ConfigError hf://somebody/guarded: expected access, but")
    said = load("hf://some body/..", hub.server_port, tmp_path)
    assert said.startswith("ConfigError hf://some body/..: no such data set on the hub;")


def test_a_hub_that_does_not_answer(hub, tmp_path):
    hub.broken = True
    said = load(f"hf://{NAME}", hub.server_port, tmp_path)
    assert said.startswith(f"RunStoreError hf://{NAME}: cannot download: Got: HfHubHTTPError")
    assert said.count("\n") == 1
    hub.broken, hub.lost = False, True
    said = load(f"hf://{NAME}", hub.server_port, tmp_path)
    assert said.startswith(f"RunStoreError hf://{NAME}: cannot download: ")
    assert said.count("\n") == 1
    said = load(f"hf://{NAME}", 9, tmp_path / "elsewhere")
    assert said.startswith(f"RunStoreError hf://{NAME}: cannot download: Got: ConnectError")
    assert "check the network" in said
    assert said.count("\n") == 1


def test_without_the_extra_or_without_an_owner(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r'pip install "opticalnet\[hub\]"'):
        open_folders("hf://Deep-See/OpticalNet", 3)
    for name in ("hf://OpticalNet", "hf://a/b/c", "hf://"):
        with pytest.raises(ConfigError, match=f"expected hf://owner/name, got {name}"):
            open_folders(name, 3)
