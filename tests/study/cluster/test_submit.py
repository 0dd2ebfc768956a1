"""A study through Ray's job API, on a head with a token that is begun here: refused, run, stopped, continued."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import util
from pathlib import Path

import psutil
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(util.find_spec("aiohttp_cors") is None, reason="a head's dashboard needs ray[default]"),
]
ADDRESS = "http://127.0.0.1:28265"
TOKEN = "0123456789abcdef" * 4
STUDY = "--space ood --domains photo,sketch --targets-per-domain 4 --test-targets-per-domain 1 --budget 24 --trials 12"


def submit(*arguments: str, token: str | None = TOKEN, home: Path) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    own |= {"HOME": str(home)} | ({} if token is None else {"RAY_AUTH_TOKEN": token})
    command = [sys.executable, "-m", "study.submit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=own)


@pytest.fixture(scope="module")
def head() -> Iterator[Path]:
    """A folder with what a head of its own says, while that runs."""
    with tempfile.TemporaryDirectory(prefix="head", ignore_cleanup_errors=True) as folder:
        options = f"--port 26379 --dashboard-port 28265 --temp-dir {folder}/ray --num-cpus 2 --block"
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--disable-usage-stats"]
        command += ["--node-ip-address", "127.0.0.1", "--dashboard-host", "127.0.0.1", *options.split()]
        own = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
        own["PATH"] = f"{Path(sys.executable).parent}:{own['PATH']}"
        with Path(folder, "head.log").open("w") as log:
            process = psutil.Popen(command, env=own, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 120
            while "no job" not in submit("status", "--address", ADDRESS, "none", home=Path(folder)).stderr:
                assert process.is_running(), Path(folder, "head.log").read_text()
                assert time.monotonic() < deadline, Path(folder, "head.log").read_text()
            yield Path(folder)
        finally:
            begun = [process, *process.children(recursive=True)]
            for one in begun:
                try:
                    one.terminate()
                except psutil.NoSuchProcess:
                    continue
            for one in psutil.wait_procs(begun, timeout=10)[1]:
                one.kill()


def test_a_submitted_study_is_refused_run_stopped_and_continued(head: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    send = ["--address", ADDRESS, "--", *STUDY.split(), "--results", str(results)]

    for token, said in ((None, "asks for a token"), ("wrong", "does not take this token")):
        refused = submit(*send, token=token, home=head)
        assert (refused.returncode, said in refused.stderr) == (2, True), refused.stderr

    sent = submit(*send, home=head)
    assert sent.returncode == 0, sent.stderr
    job = sent.stdout.split()[1]
    deadline = time.monotonic() + 120
    while len(list(results.glob("reconstructions/search-*.parquet"))) < 2:
        assert time.monotonic() < deadline, submit("logs", "--address", ADDRESS, job, home=head).stdout
        time.sleep(0.1)
    assert "asked to stop" in submit("stop", "--address", ADDRESS, job, home=head).stdout
    stopped = submit("follow", "--address", ADDRESS, job, home=head)
    assert stopped.returncode == 130, stopped.stdout
    assert "study: stopped" in stopped.stdout
    before = {path.name: path.stat().st_mtime_ns for path in results.glob("reconstructions/search-*.parquet")}

    again = submit("--follow", *send, home=head)
    assert again.returncode == 0, again.stdout + again.stderr
    after = {path.name: path.stat().st_mtime_ns for path in results.glob("reconstructions/search-*.parquet")}
    assert before.items() <= after.items()  # nothing finished was run again
    assert len({name.split("-")[1] for name in after}) == 12
    checked = subprocess.run([sys.executable, "-m", "study.ledger", "check", str(results)], capture_output=True)
    assert checked.returncode == 0, checked.stdout

    texts = [path for folder in (results, head) for path in folder.rglob("*") if path.is_file()]
    assert [path for path in texts if TOKEN.encode() in path.read_bytes()] == []
