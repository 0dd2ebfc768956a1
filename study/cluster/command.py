"""The command line of `study.submit`."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from study.cluster.job import check_arguments, entrypoint, job_id, runtime_environment
from study.cluster.reach import check_cluster, check_extra
from study.cluster.templates import TEMPLATES, fill
from study.cluster.token import read_token

PROJECT = Path(__file__).parents[2]
ADDRESS = "http://127.0.0.1:8265"
EXAMPLES = """\
examples:
  python -m study.submit --address http://HOST:8265 --follow -- --space ood --results /shared/ood
  python -m study.submit status JOB         # or: logs JOB, follow JOB, stop JOB
  python -m study.submit template slurm --gpus 8 --output study.sbatch

The token is read from RAY_AUTH_TOKEN, the file RAY_AUTH_TOKEN_PATH, or ~/.ray/auth_token; docs/cluster.md tells more.
"""
ABOUT_JOBS = {
    "status": "where a job stands",
    "logs": "what it has said",
    "follow": "print what it says until it ends, and end with its exit code",
    "stop": "stop it as Ctrl-C does; what is finished is kept",
}


def main(arguments: list[str] | None = None) -> int:
    """Send a study to a cluster, or ask after one. Returns the exit code: the study's own where it is followed."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        if given[:1] == ["template"]:
            return _write_template(given[1:])
        if given and given[0] in ABOUT_JOBS:
            return _about_job(given)
        return _submit(given)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"submit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nsubmit: the job goes on; `python -m study.submit stop JOB` stops it", file=sys.stderr)
        return 130


def _submit(given: list[str]) -> int:
    end = given.index("--") if "--" in given else len(given)
    parser = _parser("python -m study.submit", "Send a study to a Ray cluster, where the same line continues it.")
    parser.add_argument("--follow", action="store_true", help="print what the study says; end with its exit code")
    parser.add_argument("--name", default="study", help="how its job's id begins (%(default)s)")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="for the study; no secrets")
    options = parser.parse_args(given[:end])
    token = read_token()
    study = check_arguments(given[end:], token)
    job, environment = job_id(options.name), runtime_environment(options.env, project=PROJECT)
    check_extra()
    check_cluster(options.address, token)
    from study.cluster.client import Jobs

    jobs = Jobs(options.address, token)
    jobs.submit(job, entrypoint(study), environment)
    again = shlex.join(["python", "-m", "study.submit", *given])
    told = f"--address {options.address} {job}"
    print(f"job {job}")
    for word in ("follow", "stop"):
        print(f"  {word:8}  python -m study.submit {word} {told}")
    print(f"  continue  {again}", flush=True)
    return jobs.follow(job) if options.follow else 0


def _about_job(given: list[str]) -> int:
    word = given[0]
    parser = _parser(f"python -m study.submit {word}", ABOUT_JOBS[word])
    parser.add_argument("job", metavar="JOB")
    options = parser.parse_args(given[1:])
    token = read_token()
    check_extra()
    check_cluster(options.address, token)
    from study.cluster.client import Jobs

    jobs = Jobs(options.address, token)
    if word == "follow":
        return jobs.follow(options.job)
    if word == "logs":
        print(jobs.logs(options.job), end="")
    elif word == "status":
        print(jobs.status(options.job))
    else:
        print("asked to stop" if jobs.stop(options.job) else "it had ended already")
    return 0


def _write_template(given: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m study.submit template", description="write a cluster's template")
    parser.add_argument("kind", choices=list(TEMPLATES))
    parser.add_argument("--gpus", type=int, default=8, metavar="N", help="of the whole cluster (%(default)s)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="(standard output)")
    options = parser.parse_args(given)
    text = fill(options.kind, gpus=options.gpus)
    if options.output is None:
        print(text, end="")
        return 0
    with options.output.open("x") as file:  # never over what somebody has edited
        file.write(text)
    return 0


def _parser(program: str, description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    address = os.environ.get("RAY_API_SERVER_ADDRESS", ADDRESS)
    parser.add_argument("--address", default=address, help="dashboard of the cluster (%(default)s)")
    return parser
