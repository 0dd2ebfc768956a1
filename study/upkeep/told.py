"""What Optuna has been told, read from its journal without a write to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from study.plan import StudyPlan
from study.search.beginning import Beginning
from study.search.numbering import Numbering

JOURNAL = "optuna.journal"


@dataclass(frozen=True, kw_only=True)
class Told:
    """A trial as Optuna knows it."""

    number: int  # in the ledger
    state: str  # RUNNING | WAITING | COMPLETE | PRUNED | FAIL


def told_by_study(results: Path, plan: StudyPlan) -> dict[str, list[Told]]:
    """The trials of the plan's searches, by Optuna's name of each; empty without a journal, or with one of other plans.

    A torn last line is passed over.
    """
    if not (results / JOURNAL).exists():
        return {}
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(results / JOURNAL)))
    there, told = optuna.get_all_study_names(storage), {}
    for name, numbering in _studies(plan).items():
        if name in there:
            trials = optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False)
            told[name] = [Told(number=numbering.trial(trial.number), state=trial.state.name) for trial in trials]
    return told


def _studies(plan: StudyPlan) -> dict[str, Numbering]:
    """The names that the plan's searches have in Optuna, and which trials of the ledger are theirs."""
    name = f"{plan.space}-{plan.digest}"
    if plan.objective != "both":
        return {name: Numbering()}
    shared = Beginning(plan).end
    sides = enumerate(("oracle", "observable"))
    return {f"{name}-{objective}": Numbering(shared=shared, side=side, sides=2) for side, objective in sides}
