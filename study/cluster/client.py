"""Ray's job API, as far as a study needs it."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import Any

STOPPED = 130  # as after Ctrl-C


class Jobs:
    """The job server of a cluster that is known to answer (`study.cluster.reach`)."""

    def __init__(self, address: str, token: str | None) -> None:
        os.environ["RAY_API_SERVER_ADDRESS"] = address  # RAY_ADDRESS of the surroundings would win over the argument
        from ray.job_submission import JobSubmissionClient  # takes a second: not for --help

        for module in ("modules.job.sdk", "modules.dashboard_sdk"):
            logging.getLogger(f"ray.dashboard.{module}").setLevel(logging.ERROR)
        headers = None if token is None else {"Authorization": f"Bearer {token}"}
        self.client = JobSubmissionClient(address, headers=headers)

    def submit(self, job: str, command: str, environment: dict[str, Any]) -> None:
        """Hand a command to the cluster under an id."""
        self.client.submit_job(submission_id=job, entrypoint=command, runtime_env=environment)

    def status(self, job: str) -> str:
        """Where a job stands, in a line."""
        info = self._info(job)
        return f"{job}: {str(info.status).lower()}. {(info.message or '').strip().splitlines()[0:1][0]}"

    def stop(self, job: str) -> bool:
        """Ask a job to stop as Ctrl-C does; whether it ran."""
        self._info(job)
        return self.client.stop_job(job)

    def logs(self, job: str) -> str:
        """What a job has said so far."""
        self._info(job)
        return self.client.get_job_logs(job)

    def follow(self, job: str) -> int:
        """Print what a job says until it ends. Returns its exit code."""
        asyncio.run(self._print(job))
        info = self._info(job)
        if str(info.status) == "STOPPED":
            return STOPPED
        if info.driver_exit_code is None:  # it never began, or its node is gone
            print(f"submit: {info.message}", file=sys.stderr)
            return 0 if str(info.status) == "SUCCEEDED" else 1
        return int(info.driver_exit_code)

    async def _print(self, job: str) -> None:
        async for text in self.client.tail_job_logs(job):
            print(text, end="", flush=True)

    def _info(self, job: str) -> Any:
        try:
            return self.client.get_job_info(job)
        except RuntimeError:
            raise ValueError(f"the cluster knows no job {job!r}; `ray job list` shows those it knows") from None
