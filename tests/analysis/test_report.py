"""The report: complete in itself, true to the findings, silent about what is private."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest
from synthetic_ledger import Ledger, write_ledger

from analysis.findings import findings
from analysis.load import load_results
from analysis.report import main, write_report

SMALL = Ledger(
    num_trials=14, tune_targets=3, test_targets=4, pictures=True, effect=lambda params, domain: 2.0,
    controls=("noise_gradient",),
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ledger(tmp_path_factory.mktemp("report") / "a <b>study", SMALL)


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return write_report(folder).read_text()


def without_data(page: str) -> str:
    """The page without what is embedded."""
    return re.sub(r"data:[a-z/]*(;base64)?,[A-Za-z0-9+/=]*", "data:", page)


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
    addresses = re.findall(r"""\s(?:src|href|action|srcset)=["']?([^"'\s>]+)""", without_data(page))
    assert addresses
    assert {address for address in addresses if not address.startswith(("#", "data:"))} == set()
    assert "url(" not in without_data(page)
    assert "@import" not in without_data(page)
    assert "http" not in without_data(page).replace("http-equiv", "")
    assert "default-src 'none'" in page


def test_its_findings_are_those_of_the_command(page: str, folder: Path) -> None:
    listed = re.search(r'<ol class="findings">(.*?)</ol>', page, re.S)
    assert listed is not None
    assert [unescape(text) for text in re.findall("<li>(.*?)</li>", listed.group(1), re.S)] == [
        finding.text for finding in findings(load_results(folder))
    ]


def test_names_are_escaped(page: str) -> None:
    assert "<b>study" not in page
    assert "a &lt;b&gt;study" in page


def test_the_machine_is_not_named(page: str, folder: Path) -> None:
    assert str(folder.parent) not in page


def test_every_figure_has_its_caption_its_numbers_and_who_drew_it(page: str) -> None:
    figures = re.findall(r'<figure id="figure-(\w+)">(.*?)</figure>', page, re.S)
    assert {"selection", "generalization"} <= {name for name, _ in figures}
    for _, content in figures:
        assert "Drawn by <code>analysis." in content
        assert 'href="data:text/csv;base64,' in content


def test_a_small_study_is_a_small_file(page: str) -> None:
    assert len(page) < 5_000_000


def test_no_images_leaves_every_picture_out(tmp_path: Path) -> None:
    folder = write_ledger(tmp_path / "study", SMALL)
    assert main([str(folder), "--no-images"]) == 0
    page = (folder / "report.html").read_text()
    assert 'class="sheet"' not in page
    assert "Pictures were left out" in page


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kept", "said"), [(True, "private pictures and reconstructions"), (False, "shows reconstructions of private")]
)
def test_pictures_of_ones_own_come_with_a_warning(kept: bool, said: str, tmp_path: Path) -> None:
    ledger = Ledger(
        num_trials=10, tune_targets=3, test_targets=3, pictures=True, private=kept, domains=("user",), steered=("user",)
    )
    folder = write_ledger(tmp_path / "study", ledger)
    plan = json.loads((folder / "plan.json").read_text())
    (folder / "plan.json").write_text(json.dumps(plan | {"pictures": ["0" * 64]}))
    page = write_report(folder).read_text()
    assert 'class="warning"' in page
    assert said in page
    assert ("private image</th>" in page) == kept


def test_painted_pictures_need_no_warning(page: str) -> None:
    assert 'class="warning"' not in page


@pytest.mark.slow
@pytest.mark.parametrize("ledger", [Ledger(num_trials=1, finalists=None), Ledger(num_trials=9, finalists=None)])
def test_a_study_without_a_test_says_in_place_what_cannot_be_shown(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_ledger(tmp_path / "study", ledger)
    assert main([str(folder)]) == 0
    assert capsys.readouterr().err == ""
    page = unescape((folder / "report.html").read_text())
    assert "a test phase: nothing is known of images that did not steer the search" in page
    assert "Nothing can be stated:" in page


def test_a_folder_without_a_study_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "plan.json" in capsys.readouterr().err
