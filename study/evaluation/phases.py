"""The steps after a search, each a phase of the ledger: what is there already is not run again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from study.evaluation.ablation import Run, ablate
from study.evaluation.choosing import choose_candidates, choose_finalists, save_finalists, settings_of
from study.evaluation.protocol import Protocol
from study.farm.source import FixedJobs
from study.job import Job
from study.ledger import Ledger
from study.plan import StudyPlan, control_phase


def evaluate(
    plan: StudyPlan, ledger: Ledger, protocol: Protocol, *, run: Run, say: Callable[[str], None]
) -> dict[str, int]:
    """Run what the protocol wants of a study whose search is done; returns its finalists.

    run: makes a source's jobs run. say: is told, once a step, what runs now.
    """
    if protocol.select:
        candidates = choose_candidates(plan, ledger, by_domain=protocol.by_domain)
        if jobs := missing_jobs(plan, ledger, candidates, ["select"]):
            say(f"{len(candidates)} candidates run on images of their own, to choose the finalists")
            run(FixedJobs(jobs, plan, ledger), plan, ledger)
    finalists = choose_finalists(plan, ledger, by_domain=protocol.by_domain)
    save_finalists(ledger.results, finalists)
    if jobs := missing_jobs(plan, ledger, finalists.values(), ["test"]):
        say("the finalists run on fresh test targets")
        run(FixedJobs(jobs, plan, ledger), plan, ledger)
    controlled = [trial for name, trial in finalists.items() if name in protocol.controlled]
    if jobs := missing_jobs(plan, ledger, controlled, [control_phase(control) for control in protocol.controls]):
        controls = f"{len(protocol.controls)} controls" if len(protocol.controls) > 1 else protocol.controls[0]
        say(f"published, tuned and blindly chosen settings run under {controls}")
        run(FixedJobs(jobs, plan, ledger), plan, ledger)
    if protocol.ablation and "oracle" in finalists:
        say("an ablation runs: from the published recipe to the tuned settings, step by step")
        ablate(plan, ledger, trial=finalists["oracle"], run=run)
    return finalists


def missing_jobs(plan: StudyPlan, ledger: Ledger, trials: Iterable[int], phases: Sequence[str]) -> list[Job]:
    """The runs of trials of the search in other phases that the ledger still lacks."""
    return [
        Job(phase=phase, trial=trial, attempt=1, **settings)
        for phase in phases
        for trial, settings in settings_of(ledger, sorted(set(trials))).items()
        if not ledger.is_complete(phase, trial, blocks=plan.num_blocks(phase))
    ]
