"""The page: everything gathered, put into the template."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from jinja2 import Environment, PackageLoader, StrictUndefined

from analysis.choosing.measured import measured
from analysis.findings import findings, header
from analysis.load import Results
from analysis.reporting import conditions
from analysis.reporting.configs import HEIGHT, MARGIN, WIDTH, Plot, config_rows, plot
from analysis.reporting.embedded import embed_frame
from analysis.reporting.leakage import combined, headline, measured_sentences
from analysis.reporting.sections import answer, mailed, questions, sheets, untested
from analysis.reporting.sheet import RULE
from analysis.stats import rounded

TEMPLATE = "report.html.jinja"


def render(results: Results, others: Sequence[Results] = (), *, images: bool = True) -> str:
    """The report of a study as HTML, complete in itself; figures and tables of the analyses are written on the way.

    Names of targets, domains and parameters are escaped; a policy in the page forbids every request. Raises ValueError
    where a part of the ledger cannot be read.
    """
    median, whole, no_pictures = sheets(results, images=images)
    values = {
        "name": results.path.resolve().name,
        "header": header(results),
        "findings": [mailed(finding.text, results) for finding in findings(results)],
        "provenance_line": conditions.short_provenance(results),
        "private": conditions.is_private(results),
        "shows_pictures": whole is not None,
        "shows_originals": whole is not None and any(label == "private image" for label, _ in whole.rows),
        "median": median,
        "sheet": whole,
        "no_pictures": no_pictures,
        "rule": RULE,
        "unit": results.metric.unit,
        "metric": results.metric.column.split("_")[0].upper(),
        "threat": conditions.threat_model(results.plan),
        "protocol": conditions.protocol(results),
        "sections": [answer(asked, results) for asked in questions(others)],
        "untested": untested(results),
        "provenance": conditions.provenance(results),
        "plan_rows": sorted((key, str(value)) for key, value in results.plan.items() if key != "parameters"),
        "size": {"width": WIDTH, "height": HEIGHT, "margin": MARGIN},
        **_headline(results),
        **_leakage(results),
        **_configs(results),
        "notes": [mailed(note, results) for study in (results, *others) for note in study.notes],
    }
    environment = Environment(
        loader=PackageLoader("analysis.reporting"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["number"] = _number
    return environment.get_template(TEMPLATE).render(values)


def _headline(results: Results) -> dict[str, object]:
    try:
        table = headline(results)
    except ValueError as error:
        return {"headline": [], "headline_csv": None, "no_headline": mailed(str(error), results)}
    return {
        "headline": table.to_dict("records"),
        "headline_csv": embed_frame("settings_and_controls.csv", table),
        "no_headline": "",
    }


def _leakage(results: Results) -> dict[str, object]:
    try:
        return {"leaked": measured_sentences(results), "combined": combined(results), "no_leakage": ""}
    except ValueError as error:
        return {"leaked": [], "combined": "", "no_leakage": mailed(str(error), results)}


def _configs(results: Results) -> dict[str, object]:
    drawn: Plot | None = None
    try:
        rows, domains, num_configs = config_rows(results)
    except ValueError as error:
        return {"configs": [], "domains": [], "num_configs": 0, "plot": None, "no_configs": mailed(str(error), results)}
    with suppress(ValueError):  # the section on selection says why
        drawn = plot(measured(results), results.metric.unit)
    return {"configs": rows, "domains": domains, "num_configs": num_configs, "plot": drawn, "no_configs": ""}


def _number(value: float | None, decimals: int = 2) -> str:
    """A number in a cell; nothing where there is none."""
    return "" if value is None or value != value else rounded(value, decimals)
