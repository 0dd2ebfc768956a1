"""What was held fixed, and what the attacker was let know: the plan in words; and what the study ran on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.load import Results, known_domains

Rows = list[tuple[str, str]]
UNSTATED = "not stated in the plan"


def threat_model(plan: Mapping[str, Any]) -> Rows:
    """What the attacker sees, knows and may spend, as the plan declares it."""
    sharing = plan.get("sharing") or {}
    protocol = sharing.get("protocol") or {}
    defense = sharing.get("defense", "none")
    inferred = plan.get("labels") == "inferred"
    known = ", ".join(f"`{domain}`" for domain in known_domains(plan))
    domains = ", ".join(map(str, plan.get("steered_domains") or plan.get("domains") or ())) or UNSTATED
    return [
        ("attack", f"{plan.get('method', UNSTATED)}, settings searched in space `{plan.get('space', UNSTATED)}`"),
        ("task and victim", f"{plan.get('task', UNSTATED)}, {plan.get('victim', UNSTATED)}"),
        ("state of the victim", str(sharing.get("victim_state", "untrained"))),
        ("what a client shares", f"{protocol.get('kind', 'gradient')}, {protocol.get('victim_mode', 'eval')} mode"),
        ("private images behind a gradient", str(sharing.get("batch_size", 1))),
        ("labels", "inferred from the gradient" if inferred else str(plan.get("labels", UNSTATED))),
        ("defense", defense),
        ("the attacker's answer to it", "none needed" if defense == "none" else sharing.get("answer", "ignores")),
        ("gradient seen", "all tensors" if not plan.get("matched_layers") else f"layers {plan['matched_layers']}"),
        ("effort", f"{plan.get('budget', UNSTATED)} gradient evaluations per target, scoring included"),
        ("the attacker's generator", f"trained on {known}" if known else "trained on none of the domains"),
        ("settings steered by",
         f"{plan.get('objective', 'oracle')} objective, {plan.get('metric', 'psnr_db')}, on {domains}"),
    ]  # fmt: skip


def protocol(results: Results) -> pd.DataFrame:
    """Phases, and of each the number of configs, targets, targets per domain, and reconstructions without a score."""
    rows = results.reconstructions(["phase", "trial", "domain", "target_id", "outcome"])
    found = []
    for phase, part in rows.groupby("phase", sort=True):
        per_domain = part.drop_duplicates("target_id").groupby("domain").size()
        fewest, most = int(per_domain.min()), int(per_domain.max())
        counted = str(most) if fewest == most else f"{fewest} to {most}"
        failed = int((part["outcome"] != "ok").sum())
        found.append((phase, part["trial"].nunique(), part["target_id"].nunique(), counted, len(part), failed))
    names = ["phase", "configs", "targets", "per domain", "reconstructions", "without a score"]
    return pd.DataFrame(found, columns=names)


def provenance(results: Results) -> Rows:
    """Commit, versions, hardware and hours, as the study kept them."""
    seconds = results.reconstructions(["seconds"])["seconds"].sum()
    rows: Rows = [
        ("results", results.path.resolve().name),
        ("ledger schema", str(results.plan.get("schema_version", UNSTATED))),
        ("seed", str(results.plan.get("seed", UNSTATED))),
        ("attack time", f"{seconds / 3600:.2f} hours, summed over all reconstructions in the ledger"),
    ]
    for entry in _environments(results):
        dirty = " with uncommitted changes" if entry.get("dirty") else ""
        packages = entry.get("packages") or {}
        rows += [
            ("commit", f"{entry.get('commit', UNSTATED)}{dirty}"),
            ("hardware", f"{entry.get('processor', '?')}, {entry.get('cpus', '?')} CPUs, "
             f"{entry.get('memory_gib', '?')} GiB, {entry.get('platform', '?')}"),
            ("versions", f"Python {entry.get('python', '?')}, "
             + ", ".join(f"{name} {version}" for name, version in packages.items())),
            ("weights",
             ", ".join(f"{name} {str(digest)[:16]}" for name, digest in (entry.get("weights") or {}).items())),
        ]  # fmt: skip
    return rows


def _environments(results: Results) -> list[Mapping[str, Any]]:
    try:
        entries = json.loads((results.path / "environment.json").read_text())
    except (OSError, ValueError):
        return []
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def short_provenance(results: Results) -> str:
    """One line: victim, budget, trials, commit."""
    commits = [str(entry.get("commit", ""))[:10] for entry in _environments(results)]
    plan = results.plan
    return (
        f"{plan.get('method', '?')} on {plan.get('task', '?')}, victim {plan.get('victim', '?')}, budget "
        f"{plan.get('budget', '?')}, seed {plan.get('seed', '?')}"
        + (f", commit {commits[-1]}" if commits and commits[-1] else "")
    )


def is_private(results: Results) -> bool:
    """Whether pictures of this study are a person's own, rather than painted by the project."""
    plan = results.plan
    return bool(plan.get("pictures")) or plan.get("own_task") is not None or "user" in (plan.get("domains") or ())
