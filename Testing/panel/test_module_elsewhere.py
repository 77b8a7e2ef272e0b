"""The module in processes of their own: without what it installs, and with another registry of models."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from plain_model import write_plain_model

ROOT = Path(__file__).resolve().parents[2]
NOT_INSTALLED = ("torch", "safetensors", "nibabel")
BEGIN = """
import json, sys, time
from pathlib import Path
from slicer_harness import application
application.install()
import slicer
from slicer_harness.modules import LoadedModule
swallowed = []
sys.excepthook = lambda kind, error, traceback: swallowed.append(repr(error))
module = LoadedModule(Path(sys.argv[1]))
window = module.show().window
header, models = window.header.ui, window.panels["models"]
def wait(condition):
    until = time.monotonic() + 90
    while not condition() and time.monotonic() < until:
        slicer.app.processEvents()
        time.sleep(0.002)
    assert condition()
"""
END = """
module.hide()
print(json.dumps(said | {"swallowed": swallowed}))
"""


def run(code: str, module: Path, paths: list[Path], python: str = sys.executable) -> dict[str, Any]:
    """Open the module in a new process, run ``code`` there, and return what it put into ``said``."""
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, [*paths, ROOT / "Testing"]))
    done = subprocess.run(
        [python, "-c", BEGIN + code + END, str(module)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=module.parent,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert said["swallowed"] == []
    return said


@pytest.fixture(scope="module")
def fewer_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every package that is installed here, but for :data:`NOT_INSTALLED`."""
    folder = tmp_path_factory.mktemp("packages")
    installed = Path(sysconfig.get_paths()["purelib"])
    for path in installed.iterdir():
        if path.name.split("-")[0].lower() not in NOT_INSTALLED and path.suffix != ".pth":
            (folder / path.name).symlink_to(path)
    return folder


def test_without_torch_every_panel_opens_and_the_installation_is_offered(fewer_packages: Path) -> None:
    python = sys._base_executable  # type: ignore[attr-defined]
    look = "import importlib.util as u; print([n for n in ('torch', 'nibabel', 'PySide6') if u.find_spec(n)])"
    environment = {**os.environ, "PYTHONPATH": str(fewer_packages)}
    found = subprocess.run([python, "-c", look], capture_output=True, text=True, check=True, env=environment)
    if found.stdout.strip() != "['PySide6']":
        pytest.skip(f"this Python has packages of its own: {found.stdout.strip()}")
    said = run(
        """
shown = []
for panel in window.panels.values():
    header.panels.setCurrentWidget(panel.widget)
    slicer.app.processEvents()
    if panel.widget.visible:
        shown.append(panel.title)
wait(lambda: models.models)
models.ui.modelsTable.setCurrentCell(1, 0)
wait(lambda: "Reading" not in models.ui.cardBrowser.plainText)
said = {
    "shown": shown,
    "offered": header.installRow.visible and header.installButton.enabled,
    "missing": header.installLabel.text,
    "plan": header.planLabel.text,
    "can_generate": window.panels["generate"].ui.generateButton.enabled,
    "card": models.ui.cardBrowser.plainText,
    "imported": [name for name in ("torch", "safetensors", "nibabel") if name in sys.modules],
}
""",
        ROOT / "HAGANSlicer" / "HAGANSlicer.py",
        [fewer_packages],
        python,
    )
    assert said["shown"] == ["Generate", "Encode", "Explore", "Train", "Models"]
    assert said["offered"]
    assert all(name in said["missing"] for name in ("PyTorch", "safetensors", "nibabel"))
    assert "before the installation" in said["plan"]
    assert not said["can_generate"]
    assert "Only its authors distribute" in said["card"]
    assert said["imported"] == []


class _Server(ThreadingHTTPServer):
    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        content = self.server.content
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        for start in range(0, len(content), len(content) // 5):  # slowly enough for a bar to be seen
            self.wfile.write(content[start : start + len(content) // 5])
            time.sleep(0.1)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def a_served_model(tmp_path: Path) -> Iterator[tuple[str, bytes]]:
    """The address of a model file on this machine, and its content."""
    content = write_plain_model(tmp_path / "to serve.safetensors").read_bytes()
    server = _Server(content)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/model.safetensors", content
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def another_clone(tmp_path: Path, a_served_model: tuple[str, bytes]) -> Path:
    """A clone of the project whose registry names two models to download, one with a wrong SHA-256."""
    url, content = a_served_model
    clone = tmp_path / "clone"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("HAGANCore", "HAGANSlicer"):
        shutil.copytree(ROOT / name, clone / name, ignore=ignored)
    (clone / "Resources").mkdir()
    for path in (ROOT / "Resources").iterdir():
        if path.name != "models.json":
            (clone / "Resources" / path.name).symlink_to(path)
    document = json.loads((ROOT / "Resources" / "models.json").read_text(encoding="utf-8"))
    for name, digest in (("served", hashlib.sha256(content).hexdigest()), ("changed", "0" * 64)):
        entry = {**document["models"][0], "name": name, "title": name, "resource": None, "url": url}
        document["models"].append({**entry, "bytes": len(content), "sha256": digest})
    (clone / "Resources" / "models.json").write_text(json.dumps(document), encoding="utf-8")
    return clone


def test_a_model_is_downloaded_with_its_hash_checked_and_used(
    another_clone: Path, a_served_model: tuple[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAGAN_MODEL_DIR", str(tmp_path / "models"))
    said = run(
        """
questions, fractions = [], set()
slicer.util.confirmOkCancelDisplay = lambda text, title: questions.append(text) is None
header.panels.setCurrentWidget(models.widget)
wait(lambda: models.models)
def download(name):
    models.ui.modelsTable.setCurrentCell([model["name"] for model in models.models].index(name), 0)
    state = models.ui.modelsTable.item(models.ui.modelsTable.currentRow(), 2).text()
    models.ui.downloadButton.click()
    wait(lambda: fractions.add(models.job.bar.value) or not models.job.running)
    return state, header.messageLabel.text
changed = download("changed")
fractions.clear()
served = download("served")
wait(lambda: window.context.model is not None)
said = {"changed": changed, "served": served, "questions": questions, "fractions": sorted(fractions)}
said |= {"used": window.context.parameters.modelName, "name": window.context.model["name"]}
""",
        another_clone / "HAGANSlicer" / "HAGANSlicer.py",
        [],
    )
    url, content = a_served_model
    assert said["changed"][0] == "download, 8 MB"
    assert "its SHA-256 is" in said["changed"][1]
    assert "Nothing was kept" in said["changed"][1]
    assert said["served"][1] == "The model 'served' is on this machine, checked and ready."
    assert all(url in text and "SHA-256" in text for text in said["questions"])
    assert [value for value in said["fractions"] if 0 < value < 1000]  # thousandths of the bar
    assert (said["used"], said["name"]) == ("served", "demo")
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["served.safetensors"]
    assert (tmp_path / "models" / "served.safetensors").read_bytes() == content
