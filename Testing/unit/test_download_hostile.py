"""Download from a server that is slow, endless, or not who it should be."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from model_server import CONTENT, Server

from HAGANCore.errors import Cancelled, HaganError
from HAGANCore.models import download as module
from HAGANCore.models.download import download
from HAGANCore.models.registry import RegistryEntry


def test_an_endless_stream_is_left_at_the_size_of_the_model(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    a_server.announces_length, a_server.endless = False, True
    with pytest.raises(HaganError, match="longer than the 1,000,000 bytes"):
        download(an_entry(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_slow_server_can_be_cancelled_and_is_given_up(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte now and then: no time limit of the socket ever passes."""
    monkeypatch.setattr(module, "BLOCK_SECONDS", 0.02)
    a_server.pause = 0.005

    def cancel(fraction: float, text: str = "") -> None:
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):  # long before a block is full
        download(an_entry(), tmp_path, cancel)
    assert 0 < (tmp_path / "small.safetensors.part").stat().st_size < 1000
    monkeypatch.setattr(module, "SLOW_SECONDS", 0.2)
    until = time.monotonic() + 10

    def in_time(fraction: float, text: str = "") -> None:
        assert time.monotonic() < until, "it goes on for ever"

    with pytest.raises(HaganError, match=r"less than 1,000 bytes arrive in a second.* it goes on from there"):
        download(an_entry(), tmp_path, in_time)
    a_server.pause = 0.0
    assert download(an_entry(), tmp_path).read_bytes() == CONTENT


def test_a_server_that_falls_silent_is_a_broken_connection(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.1)
    a_server.pause = 3.0
    with pytest.raises(HaganError, match=r"timed out.* it goes on from there"):
        download(an_entry(), tmp_path)


@pytest.mark.parametrize("host", ["models.example", "192.0.2.1", "127.0.0.1.example"])
def test_http_is_for_this_machine_alone(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry], host: str
) -> None:
    with pytest.raises(HaganError, match="must begin with https://"):
        download(an_entry(url=f"http://{host}/model.safetensors"), tmp_path)
    a_server.redirect = f"http://{host}/model.safetensors"
    with pytest.raises(HaganError, match=rf"redirects .* to http://{re.escape(host)}.* not secure"):
        download(an_entry(), tmp_path)
    assert not (tmp_path / "small.safetensors").exists()


@pytest.fixture(scope="session")
def a_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and its key in one file, made for these tests alone."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the command openssl to make a certificate")
    path = tmp_path_factory.mktemp("certificate") / "server.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=127.0.0.1"
    command = ["openssl", *words.split(), "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", path, "-out", f"{path}.crt"], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


@pytest.fixture
def a_secure_server(a_server: Server, a_certificate: Path) -> Server:
    """The server, from now on by https with a certificate that nobody knows yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(a_certificate)
    a_server.socket = context.wrap_socket(a_server.socket, server_side=True)
    return a_server


def test_https_is_spoken_with_servers_whose_certificate_is_trusted(
    tmp_path: Path,
    a_secure_server: Server,
    a_certificate: Path,
    an_entry: Callable[..., RegistryEntry],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = an_entry(url=a_secure_server.url.replace("http:", "https:"))
    with pytest.raises(HaganError, match="CERTIFICATE_VERIFY_FAILED"):
        download(entry, tmp_path)
    assert a_secure_server.requests == []
    monkeypatch.setenv("SSL_CERT_FILE", f"{a_certificate}.crt")
    assert download(entry, tmp_path).read_bytes() == CONTENT


def test_no_redirect_leads_from_https_to_http(
    tmp_path: Path,
    a_secure_server: Server,
    a_certificate: Path,
    an_entry: Callable[..., RegistryEntry],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", f"{a_certificate}.crt")
    a_secure_server.redirect = "http://127.0.0.1:9/model.safetensors"
    with pytest.raises(HaganError, match=r"redirects https://.* to http://127.* not secure"):
        download(an_entry(url=a_secure_server.url.replace("http:", "https:")), tmp_path)
    assert list(tmp_path.glob("*.safetensors")) == []
