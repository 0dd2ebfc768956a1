"""What is sent to a cluster, and what is refused before it is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from zipfile import ZipFile

import pytest

from study.cluster import inside
from study.cluster.job import check_arguments, excludes, runtime_environment
from study.cluster.reach import check_cluster
from study.cluster.token import read_token

PROJECT = Path(__file__).parents[3]
STUDY = ["--space", "ood", "--results", "/shared/ood"]


class _Dashboard(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        authorization = self.headers.get("Authorization")
        status = 401 if authorization is None else 200 if authorization == "Bearer right" else 403
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps({"ray_version": "2.60.0"}).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Dashboard)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("token", "here", "said"),
    [(None, "2.60.1", "there is none here"), ("wrong", "2.60.1", "does not take"), ("right", "2.50.0", "==2.60.0")],
)
def test_a_cluster_that_would_not_take_a_study_is_refused(
    address: str, token: str | None, here: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        check_cluster(address, token, here=here)


def test_a_cluster_that_fits_is_taken(address: str) -> None:
    assert check_cluster(address, "right", here="2.60.1") == "2.60.0"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://127.0.0.1:1", "nothing answers"),
        ("10.0.0.1:6379", "takes http"),
        ("http://127.0.0.1:notaport", "nothing answers|takes http"),
    ],
)
def test_an_address_without_a_cluster_is_refused(address: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_cluster(address, None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "after --"),
        ([*STUDY, "--address", "auto"], "the cluster that it runs in"),
        (["--space", "ood"], "needs --results"),
        (["--space", "ood", "--results", "results/ood"], "needs --results"),
        ([*STUDY, "--point", "abc-secret"], "token is among"),
    ],
)
def test_arguments_that_no_cluster_can_run_are_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_arguments(arguments, "abc-secret")


@pytest.mark.parametrize("entry", ["AWS_SECRET_ACCESS_KEY=x", "RAY_AUTH_TOKEN=x", "PLAIN"])
def test_secrets_and_names_without_values_are_not_sent(entry: str) -> None:
    with pytest.raises(ValueError, match="--env"):
        runtime_environment([entry], project=PROJECT)


def test_a_token_of_the_environment_comes_before_one_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("of the file\n")
    assert read_token({"RAY_AUTH_TOKEN_PATH": str(path)}) == "of the file"
    assert read_token({"RAY_AUTH_TOKEN_PATH": str(path), "RAY_AUTH_TOKEN": "direct"}) == "direct"
    with pytest.raises(ValueError, match="cannot be read"):
        read_token({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "none")})


def test_another_python_on_the_cluster_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert inside.main(["3.5", *STUDY]) == 2
    assert "Python 3.5" in capsys.readouterr().err


def test_only_code_and_its_own_weights_are_sent(tmp_path: Path) -> None:
    from ray._private.runtime_env.packaging import create_package

    kept = ["study/plan.py", "gifd_ops/weights/portraits.safetensors", "pyproject.toml"]
    left = [".git/config", ".venv/x.py", "results/ood/plan.json", "study/__pycache__/x.pyc", ".env", "big.safetensors"]
    for name in kept + left:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    target = tmp_path.parent / f"{tmp_path.name}.zip"
    create_package(str(tmp_path), target, include_gitignore=True, excludes=excludes(tmp_path))
    assert {name for name in ZipFile(target).namelist() if not name.endswith("/")} == set(kept)
