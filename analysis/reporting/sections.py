"""The parts of a report in the order in which a reviewer asks, each run as functions and answered in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis import generalization, methods, selection, sensitivity, stages
from analysis.elsewhere.sentences import study_lines
from analysis.load import Results, load_results
from analysis.reporting.embedded import Shown, embed_figures
from analysis.reporting.sheet import MEDIAN, Sheet, sheet


@dataclass(frozen=True)
class Section:
    """A question, what the analysis says in lines, its figures; `missing` says why there is nothing, where so."""

    anchor: str
    question: str
    command: str
    lines: tuple[str, ...]
    figures: tuple[Shown, ...]
    missing: str = ""


@dataclass(frozen=True)
class Asked:
    """How a section comes about."""

    anchor: str
    question: str
    command: str
    run: Callable[[Results], Sequence[str]]
    figures: tuple[str, ...]


def questions(others: Sequence[Results]) -> list[Asked]:
    """What a reviewer asks of a study beside `others`, which are other attacks or the same one elsewhere."""
    return [
        Asked(
            "elsewhere", "Does it hold elsewhere?", "generalization", lambda results: _elsewhere(results, others),
            ("generalization", "generalization_transfer", "generalization_choices", "generalization_studies"),
        ),
        Asked(
            "drivers", "What drives it?", "sensitivity", sensitivity.lines,
            ("sensitivity", "sensitivity_surrogate", "ablation"),
        ),
        Asked("stages", "What do the layers do?", "stages", stages.write_stages, ("stages",)),
        Asked(
            "selection", "What would an attacker know?", "selection", selection.write_selection, ("selection",),
        ),
        Asked(
            "methods", "Other attacks and controls", "methods", lambda results: _methods(results, others), ("methods",)
        ),
    ]  # fmt: skip


def answer(asked: Asked, results: Results) -> Section:
    """The section; what cannot be said is its `missing`, and older figures of it are not shown."""
    try:
        lines = [line for line in asked.run(results) if not line.startswith(("figure:", "figures and tables:"))]
    except ValueError as error:
        return Section(asked.anchor, asked.question, asked.command, (), (), mailed(str(error), results))
    figures = embed_figures(results.path / "analysis", asked.figures)
    said = tuple(mailed(line, results) for line in lines)
    return Section(asked.anchor, asked.question, asked.command, said, tuple(figures))


def mailed(text: str, results: Results) -> str:
    """`text` without the places of this machine: the folder by its name."""
    return text.replace(str(results.path.resolve()), results.path.resolve().name).replace(
        str(results.path), results.path.resolve().name
    )


def sheets(results: Results, *, images: bool) -> tuple[Sheet | None, Sheet | None, str]:
    """The sheet of median targets, the whole one, and why there is none."""
    if not images:
        return None, None, "Pictures were left out of this report (--no-images)."
    try:
        whole = sheet(results)
    except ValueError as error:
        return None, None, f"No pictures: {mailed(str(error), results)}."
    return whole.only(MEDIAN), whole, ""


def with_methods(results: Results, others: Sequence[Results]) -> tuple[list[Results], list[str]]:
    """The study, its methods beside it and `others` of another method; a note for each that cannot be read."""
    found, notes = {str(results.plan.get("method")): results}, []
    for folder in sorted((results.path / "methods").glob("*/plan.json")):
        try:
            study = load_results(folder.parent)
        except ValueError as error:
            notes.append(f"not shown: {folder.parent.name}: {mailed(str(error), results)}")
            continue
        found.setdefault(str(study.plan.get("method")), study)
    for study in others:
        found.setdefault(str(study.plan.get("method")), study)
    return list(found.values()), notes


def _methods(results: Results, others: Sequence[Results]) -> list[str]:
    studies, notes = with_methods(results, others)
    said = methods.lines([str(study.path) for study in studies], results.path / "analysis")
    return [*(line for line in said if line), *notes]


def _elsewhere(results: Results, others: Sequence[Results]) -> list[str]:
    same = [study for study in others if study.plan.get("method") == results.plan.get("method")]
    stale = results.path / "analysis" / "generalization_studies.png"
    lines = generalization.own_lines(results)
    if not same:
        stale.unlink(missing_ok=True)
        return lines
    try:
        across = generalization.write_studies([results, *same])
    except ValueError as error:
        return [*lines, f"not compared with other studies: {error}"]
    return [*lines, *study_lines(across, results.metric.unit)]


def untested(results: Results) -> list[str]:
    """What the study did not try, from its plan and its phases."""
    sharing = results.plan.get("sharing") or {}
    phases = set(results.reconstructions(["phase"])["phase"])
    controls = ("noise_gradient", "other_image", "untrained_generator")
    gaps = {
        "a test phase: nothing is known of images that did not steer the search": "test" not in phases,
        "selection among finalists on images of their own": "select" not in phases,
        "the way from the published recipe to the tuned settings, step by step": "ablation" not in phases,
        "the control " + ", ".join(name.replace("_", " ") for name in controls if f"test_{name}" not in phases): any(
            f"test_{name}" not in phases for name in controls
        ),
        "any defense": sharing.get("defense", "none") == "none",
        "batches of more than one image": sharing.get("batch_size", 1) == 1,
        "clients that train several steps before they share": (sharing.get("protocol") or {}).get("kind", "gradient")
        == "gradient",
        "a trained victim": sharing.get("victim_state", "untrained") == "untrained",
        "perceptual distance (LPIPS), whose weights were not there": bool(
            results.reconstructions(["lpips"])["lpips"].isna().all()
        ),
        "other attacks with the same effort": not (results.path / "methods").is_dir(),
        "a second study with another seed, which alone shows how victims, painter and generator vary": True,
    }
    return [text for text, is_gap in gaps.items() if is_gap]
