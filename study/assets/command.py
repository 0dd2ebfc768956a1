"""`python -m study.assets list|verify|fetch`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from study.assets.files import FetchError, fetch, problem_of
from study.assets.manifest import ASSETS, Asset, assets_folder
from study.choices import check_name


def main(arguments: list[str] | None = None, *, assets: Sequence[Asset] = ASSETS) -> int:
    """Run a command. Returns the exit code: 1 if something is missing or altered, 2 for a name that is not known."""
    options = _parser(assets).parse_args(arguments)
    known = {asset.name: asset for asset in assets}
    try:
        chosen = [known[check_name("asset", name, known)] for name in options.names] or list(assets)
        if options.command == "fetch" and not options.names:
            raise ValueError(f"fetch takes names of assets, of {', '.join(known)}: some are large, and each has terms")
    except ValueError as error:
        print(f"assets: {error}", file=sys.stderr)
        return 2
    if options.command == "list":
        print("\n\n".join(describe(asset) for asset in chosen))
        return 0
    return max([0, *(verify(asset) if options.command == "verify" else get(asset) for asset in chosen)])


def _parser(assets: Sequence[Asset]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m study.assets",
        description=f"Weights and data of others, which this project does not ship. They are kept in {assets_folder()} "
        "(or GIFD_ASSETS); docs/assets.md tells more.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (
        ("list", "what there is, what it is for, whose terms it has, and whether it is here"),
        ("verify", "check the files that are here"),
        ("fetch", "bring files here, going on where an earlier try broke off"),
    ):
        commands.add_parser(name, help=words, description=words).add_argument(
            "names", nargs="*", metavar="NAME", help=f"of {', '.join(asset.name for asset in assets)} (all)"
        )
    return parser


def describe(asset: Asset) -> str:
    """All that is known of an asset."""
    size = "size not published" if asset.size is None else f"{asset.size:,} bytes"
    sha256 = "sha256 not published" if asset.sha256 is None else f"sha256 {asset.sha256} ({asset.sha256_from})"
    path = asset.path()
    lines = [
        f"{asset.name}: {asset.purpose}",
        f"  page     {asset.page}",
        f"  licence  {asset.licence}",
    ]
    if asset.address is not None:
        lines += [f"  file     {asset.file}, {size}", f"           {sha256}", f"  address  {asset.address}"]
        lines.append(f"  here     {path if path.is_file() else f'no; it belongs at {path}'}")
    if asset.how is not None:
        lines.append(f"  note     {asset.how}")
    return "\n".join(lines)


def verify(asset: Asset) -> int:
    """Say whether an asset's file is what is published. Returns 1 if it is altered or missing."""
    path = asset.path()
    if asset.address is None:
        print(f"{asset.name}: a folder that you name (--data); it is checked when a study begins")
        return 0
    if not path.is_file():
        print(f"{asset.name}: missing. {by_hand(asset)}")
        return 1
    if (problem := problem_of(path, size=asset.size, sha256=asset.sha256)) is not None:
        print(f"{asset.name}: {path} is not the published file: {problem}. Delete it and fetch it again")
        return 1
    if asset.sha256 is None:
        print(f"{asset.name}: here, {path.stat().st_size:,} bytes; nobody publishes a sha256 to check it by")
    else:
        print(
            f"{asset.name}: as published ({'all' if len(asset.sha256) == 64 else len(asset.sha256)} digits of sha256)"
        )
    return 0


def get(asset: Asset) -> int:
    """Fetch an asset unless it is here. Returns 1 if it could not be had."""
    path = asset.path()
    if asset.address is None:
        print(f"{asset.name}: cannot be fetched. See {asset.page}; {asset.how}")
        return 1
    if path.is_file():
        return verify(asset)
    print(f"{asset.name}: {asset.address}\n  licence: {asset.licence}")
    try:
        fetch(asset.address, path, size=asset.size, sha256=asset.sha256, say=_progress)
    except (FetchError, ValueError, OSError) as error:
        print(f"\nassets: {error}\n{by_hand(asset)}", file=sys.stderr)
        return 1
    print(f"\n  kept as {path}")
    if asset.how is not None:
        print(f"  {asset.how}")
    return verify(asset)


def by_hand(asset: Asset) -> str:
    """What to copy where."""
    check = "" if asset.sha256 is None else f" (sha256 {asset.sha256}{'...' if len(asset.sha256) < 64 else ''})"
    return (
        f"Without internet access: fetch {asset.address} on another machine and copy {asset.file}{check} to "
        f"{asset.path()}"
    )


def _progress(have: int, whole: int | None) -> None:
    if sys.stdout.isatty():
        share = "" if whole is None else f" of {whole / 1e6:.0f}"
        print(f"\r  {have / 1e6:.0f}{share} MB", end="", flush=True)
