"""Download from a real server on this machine, which breaks, lies and forgets as servers do."""

from __future__ import annotations

import hashlib
import random
import re
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from HAGANCore.errors import Cancelled, HaganError
from HAGANCore.models import download as module
from HAGANCore.models.download import download
from HAGANCore.models.registry import RegistryEntry

CONTENT = random.Random(0).randbytes(1_000_000)


class Server(ThreadingHTTPServer):
    """Serves ``content`` at every path; the attributes say how badly."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = CONTENT
        self.ranges = True
        self.announces_length = True
        self.breaks_after: list[int] = []
        self.status = 200
        self.redirect = ""
        self.requests: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/model.safetensors"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        start = int(wanted.split("=")[1].rstrip("-")) if wanted and self.server.ranges else 0
        if self.server.redirect or self.server.status != 200:
            self.send_response(302 if self.server.redirect else self.server.status)
            self.send_header("Location", self.server.redirect)
            self.end_headers()
            return
        if start > 0 and start >= len(self.server.content):
            self.send_error(416)
            return
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            last = len(self.server.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
        if self.server.announces_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.breaks_after:
            body = body[: self.server.breaks_after.pop(0)]
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def a_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "BLOCK_BYTES", 100_000)
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def an_entry(a_server: Server) -> Callable[..., RegistryEntry]:
    """Make a registry entry for what the server should send."""

    def make(**changes: object) -> RegistryEntry:
        values: dict = {
            "name": "small",
            "title": "Small",
            "anatomy": "thorax",
            "size": 32,
            "url": a_server.url,
            "bytes": len(CONTENT),
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
            "licence": "",
            "citation": "",
            "how_to_obtain": "Ask its authors.",
        }
        return RegistryEntry(**(values | changes))

    return make


def test_a_download_is_whole_and_reports_its_progress(
    tmp_path: Path, an_entry: Callable[..., RegistryEntry]
) -> None:
    seen: list[tuple[float, str]] = []
    path = download(an_entry(), tmp_path / "new", lambda fraction, text="": seen.append((fraction, text)))
    assert path == tmp_path / "new" / "small.safetensors"
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert len(fractions) == 10
    assert seen[-1] == (1.0, "1.0 of 1.0 MB")


def test_nothing_is_fetched_where_the_model_is_there_already(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    (tmp_path / "small.safetensors").write_bytes(CONTENT)
    download(an_entry(), tmp_path)
    assert a_server.requests == []
    (tmp_path / "small.safetensors").write_bytes(CONTENT[:-1] + b"?")
    assert download(an_entry(), tmp_path).read_bytes() == CONTENT
    assert len(a_server.requests) == 1


def test_a_connection_that_breaks_is_taken_up_where_it_broke(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    a_server.breaks_after = [250_000, 1, 300_000]
    assert download(an_entry(), tmp_path).read_bytes() == CONTENT
    asked = [wanted for _, wanted in a_server.requests]
    assert asked == [None, "bytes=250000-", "bytes=250001-", "bytes=550001-"]


def test_an_attempt_that_brings_nothing_ends_it_and_the_next_call_goes_on(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    a_server.breaks_after = [400_000, 0]
    with pytest.raises(HaganError, match=r"stopped at 400,000 of 1,000,000 bytes .* it goes on from there"):
        download(an_entry(), tmp_path)
    assert (tmp_path / "small.safetensors.part").stat().st_size == 400_000
    assert download(an_entry(), tmp_path).read_bytes() == CONTENT
    assert a_server.requests[-1][1] == "bytes=400000-"


def test_a_cancelled_download_keeps_its_part_and_goes_on(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    def cancel(fraction: float, text: str = "") -> None:
        if fraction >= 0.3:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        download(an_entry(), tmp_path, cancel)
    assert [path.name for path in tmp_path.iterdir()] == ["small.safetensors.part"]
    assert download(an_entry(), tmp_path).read_bytes() == CONTENT
    assert a_server.requests[-1][1] == "bytes=300000-"


def test_a_server_without_ranges_is_read_from_the_start(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    a_server.ranges = False
    (tmp_path / "small.safetensors.part").write_bytes(b"x" * 300_000)
    assert download(an_entry(), tmp_path).read_bytes() == CONTENT


def test_a_server_that_does_not_announce_the_length_is_read_too(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    a_server.announces_length = False
    assert download(an_entry(), tmp_path).read_bytes() == CONTENT
    a_server.content = CONTENT + b"more"
    with pytest.raises(HaganError, match="longer than the 1,000,000 bytes"):
        download(an_entry(name="other"), tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (CONTENT[:-1] + b"?", "its SHA-256 is"),
        (CONTENT + b"!", "it has 1,000,001 bytes, the model 1,000,000"),
        (b"<html>sign in</html>", "it has 20 bytes"),
        (b"", "it has 0 bytes"),
    ],
)
def test_other_bytes_than_the_models_are_not_kept(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry], content: bytes, expected: str
) -> None:
    a_server.content = content
    with pytest.raises(
        HaganError, match=rf"is not the model 'small': {re.escape(expected)}.*Nothing was kept"
    ):
        download(an_entry(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_another_file_is_found_out_by_the_hash(
    tmp_path: Path, an_entry: Callable[..., RegistryEntry]
) -> None:
    part = tmp_path / "small.safetensors.part"
    part.write_bytes(b"x" * 300_000)
    with pytest.raises(HaganError, match="Nothing was kept"):
        download(an_entry(), tmp_path)
    part.write_bytes(b"x" * 1_000_001)  # longer than the model: not gone on from
    assert download(an_entry(), tmp_path).read_bytes() == CONTENT
    assert not part.exists()


def test_a_part_longer_than_the_servers_file_is_dropped(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    a_server.content = CONTENT[:100]
    (tmp_path / "small.safetensors.part").write_bytes(CONTENT[:200])
    with pytest.raises(HaganError, match="shorter than the 200 bytes already received"):
        download(an_entry(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_stays_until_the_new_one_is_whole(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    (tmp_path / "small.safetensors").write_bytes(b"older")
    a_server.breaks_after = [10, 0]
    with pytest.raises(HaganError, match="stopped at 10"):
        download(an_entry(), tmp_path)
    assert (tmp_path / "small.safetensors").read_bytes() == b"older"


def test_a_refusal_says_its_code_and_keeps_the_part(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    (tmp_path / "small.safetensors.part").write_bytes(CONTENT[:200])
    a_server.status = 404
    with pytest.raises(HaganError, match=r"refuses .*404 Not Found"):
        download(an_entry(), tmp_path)
    assert (tmp_path / "small.safetensors.part").stat().st_size == 200


def test_no_server_is_said_in_one_line(tmp_path: Path, an_entry: Callable[..., RegistryEntry]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/m"
        with pytest.raises(HaganError, match=r"stopped at 0 of 1,000,000 bytes .*refused") as caught:
            download(an_entry(url=url), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/m", "data:,x"])
def test_only_http_is_spoken_even_when_redirected(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry], target: str
) -> None:
    with pytest.raises(HaganError, match="must begin with https://"):
        download(an_entry(url=target), tmp_path)
    a_server.redirect = target
    with pytest.raises(HaganError):
        download(an_entry(), tmp_path)
    assert not (tmp_path / "small.safetensors").exists()


def test_a_redirect_to_http_is_followed(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    first = Server()
    first.redirect = a_server.url
    thread = threading.Thread(target=first.handle_request)
    thread.start()
    assert download(an_entry(url=first.url), tmp_path).read_bytes() == CONTENT
    thread.join()
    first.server_close()


def test_the_proxy_of_the_environment_is_used(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", a_server.url.removesuffix("/model.safetensors"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    download(an_entry(url="http://models.invalid/thorax"), tmp_path)
    assert a_server.requests == [("http://models.invalid/thorax", None)]


def test_a_full_disk_is_said_before_the_download(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    with pytest.raises(HaganError, match="MB free, the download needs 1,000,000,000 MB"):
        download(an_entry(bytes=10**15), tmp_path)
    assert a_server.requests == []


def test_a_model_without_an_address_says_how_to_obtain_it(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    with pytest.raises(HaganError, match=r"'small' cannot be downloaded\. Ask its authors\."):
        download(an_entry(url=None), tmp_path)
    assert a_server.requests == []
