"""Assets against a real server on this machine: fetched, resumed, checked, and never half there."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from study.assets.command import main
from study.assets.files import FetchError, fetch
from study.assets.manifest import ASSETS, Asset

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Sends CONTENT, from where it is asked to unless `ranges` is off, and breaks off after `most` bytes."""

    ranges, most, asked = True, len(CONTENT), list[str | None]()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        begin = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and self.server.ranges else 0
        if self.path == "/none":
            self.send_error(404)
            return
        if begin >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(CONTENT) - begin))
        self.end_headers()
        self.wfile.write(CONTENT[begin : begin + self.server.most])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        running.asked = []
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def asset(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asset:
    monkeypatch.setenv("GIFD_ASSETS", str(tmp_path / "assets"))
    return Asset(
        name="things",
        purpose="tests",
        page="https://example.org/things",
        address=f"http://127.0.0.1:{server.server_port}/things.bin",
        file="things.bin",
        size=len(CONTENT),
        sha256=SHA256,
        sha256_from="this file",
        licence="none",
    )


def bring(asset: Asset, **changes: object) -> None:
    told = {"size": asset.size, "sha256": asset.sha256, **changes}
    assert asset.address is not None
    fetch(asset.address, asset.path(), say=lambda have, whole: None, **told)


def partial_of(asset: Asset) -> Path:
    return asset.path().with_name(".things.bin.partial")


def test_a_file_is_fetched_and_verified(asset: Asset, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "things"], assets=[asset]) == 1
    assert main(["fetch", "things"], assets=[asset]) == 0
    assert asset.path().read_bytes() == CONTENT
    assert main(["verify"], assets=[asset]) == 0
    assert "as published (all digits of sha256)" in capsys.readouterr().out


def test_a_fetch_goes_on_where_it_broke_off(asset: Asset, server: Server) -> None:
    server.most = 300_000
    with pytest.raises(FetchError, match=r"broke off after 300,000 of 1,024,000 bytes|does not answer"):
        bring(asset)
    assert not asset.path().exists()
    assert partial_of(asset).read_bytes() == CONTENT[:300_000]
    server.most = len(CONTENT)
    bring(asset)
    assert server.asked == [None, "bytes=300000-"]
    assert asset.path().read_bytes() == CONTENT
    assert not partial_of(asset).exists()


def test_a_server_without_ranges_sends_it_anew(asset: Asset, server: Server) -> None:
    asset.path().parent.mkdir()
    partial_of(asset).write_bytes(b"half of it")
    server.ranges = False
    bring(asset)
    assert asset.path().read_bytes() == CONTENT


def test_a_fetch_killed_before_the_last_step_is_finished(asset: Asset) -> None:
    asset.path().parent.mkdir()
    partial_of(asset).write_bytes(CONTENT)
    bring(asset)
    assert asset.path().read_bytes() == CONTENT


@pytest.mark.parametrize("changes", [{"sha256": "0" * 64}, {"size": 5}, {"sha256": "00", "size": None}])
def test_another_file_than_the_published_one_is_not_kept(changes: dict[str, object], asset: Asset) -> None:
    with pytest.raises(ValueError, match=r"gave another things.bin than the published one: .*what came was deleted"):
        bring(asset, **changes)
    assert list(asset.path().parent.iterdir()) == []


def test_first_digits_are_enough_where_no_more_is_published(asset: Asset, capsys: pytest.CaptureFixture[str]) -> None:
    short = replace(asset, sha256=SHA256[:8], size=None)
    assert main(["fetch", "things"], assets=[short]) == 0
    assert "as published (8 digits of sha256)" in capsys.readouterr().out


def test_a_file_altered_in_one_byte_is_noticed(asset: Asset, capsys: pytest.CaptureFixture[str]) -> None:
    bring(asset)
    data = bytearray(CONTENT)
    data[777] ^= 1
    asset.path().write_bytes(bytes(data))
    assert main(["verify"], assets=[asset]) == 1
    assert "is not the published file: its sha256 begins with" in capsys.readouterr().out
    assert main(["fetch", "things"], assets=[asset]) == 1  # what a person put there is never overwritten


def test_without_a_connection_it_says_what_to_copy_where(
    asset: Asset, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.server_close()
    server.shutdown()
    assert main(["fetch", "things"], assets=[asset]) == 1
    said = capsys.readouterr().err
    assert "does not answer" in said
    assert f"copy things.bin (sha256 {SHA256}) to {asset.path()}" in said


def test_an_address_without_the_file_is_an_error(asset: Asset) -> None:
    gone = replace(asset, address=str(asset.address).replace("things.bin", "none"))
    with pytest.raises(FetchError, match="answers 404"):
        bring(gone)


def test_what_has_no_published_sum_is_said_to_be_unchecked(asset: Asset, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "things"], assets=[replace(asset, sha256=None, size=None)]) == 0
    assert "nobody publishes a sha256 to check it by" in capsys.readouterr().out


def test_names_are_checked_and_fetch_needs_one(asset: Asset, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch"], assets=[asset]) == 2
    assert main(["fetch", "thing"], assets=[asset]) == 2
    assert "did you mean 'things'?" in capsys.readouterr().err


def test_the_list_says_page_licence_and_place_of_every_asset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    for asset in ASSETS:
        assert f"{asset.name}: {asset.purpose}" in said
        assert asset.page in said
        assert asset.licence in said


def test_every_sum_has_a_source_and_every_address_is_encrypted() -> None:
    assert len({asset.name for asset in ASSETS}) == len(ASSETS)
    for asset in ASSETS:
        assert (asset.sha256 is None) == (asset.sha256_from is None)
        assert asset.sha256 is None or re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{64}", asset.sha256)
        assert asset.address is None or asset.address.startswith("https://")
        assert asset.address is not None or asset.how is not None
