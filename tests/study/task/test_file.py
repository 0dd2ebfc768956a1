"""A task file is read as it is meant or refused with the nearest key."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.task.definition import Folder
from study.task.file import read_task_file

GOOD = """\
size_px = 32
num_classes = 2

[generator]
architecture = "stylegan2"
checkpoint = "weights/g.safetensors"
trained_on = ["faces"]

[victim]
model = "my_victim:small"

[domains.faces]
folder = "faces"
layout = "flat"

[domains.art]
folder = "/elsewhere/art"

[splits]
tune = 2
test = 3

[conditions]
budget = 48
labels = "given"
"""


def read(folder: Path, text: str = GOOD):
    path = folder / "my_task.toml"
    path.write_text(text)
    return read_task_file(path)


def test_paths_count_from_the_file_and_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert found.name == "my_task"
    assert found.checkpoint == tmp_path / "weights" / "g.safetensors"
    assert found.domains == {
        "faces": Folder(path=tmp_path / "faces", layout="flat"),
        "art": Folder(path=Path("/elsewhere/art"), layout="class_folders"),
    }
    assert (found.in_distribution, found.victim, found.recipe) == (("faces",), "my_victim:small", "scaled")
    assert found.defaults == {"targets_per_domain": 2, "test_targets_per_domain": 3, "budget": 48, "labels": "given"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("size_px", "size_pixels", r"no key in .*my_task.toml, 'size_pixels'; .*did you mean 'size_px'"),
        ("[splits]", "[split]", r"did you mean '\[splits\]'"),
        ("checkpoint =", "chekpoint =", r"no key in \[generator\] of .*did you mean 'checkpoint'"),
        ('folder = "faces"', 'foldr = "faces"', r"no key in \[domains.faces\] of .*did you mean 'folder'"),
        ("tune =", "tuen =", "did you mean 'tune'"),
        ("budget =", "bugdet =", "did you mean 'budget'"),
        ('"flat"', '"flatt"', "no layout 'flatt'; .*did you mean 'flat'"),
        ('"stylegan2"', '"stylegan"', "no architecture 'stylegan'; .*did you mean 'stylegan2'"),
        ('["faces"]', '["face"]', "no domain 'face'; .*did you mean 'faces'"),
        ("size_px = 32\n", "", "needs size_px in the top; add it"),
        ("size_px = 32", "size_px = 1", "size_px must be 2 or more, got 1"),
        ("size_px = 32", 'size_px = "32"', "size_px in the top is of type int, got '32'"),
        ("size_px = 32", "size_px = true", "size_px in the top is of type int, got True"),
        ('folder = "faces"\n', "", r"needs folder in \[domains.faces\]; add it"),
        ("[victim]", "[victim]\npixel_std = [0.1, 0.0, 0.1]", "pixel_std is above 0 in every channel"),
        ("[victim]", "[victim]\npixel_mean = [0.1]", r"pixel_mean is three numbers, one per channel, got \[0.1\]"),
        ("size_px = 32", 'size_px = 32\nname = "My task!"', "a name is small letters, digits"),
        ("size_px = 32", 'size_px = 32\nrecipe = "paper_stylegan"', "did you mean 'paper_stylegan2'"),
        ("[generator]", "[generator", "is no TOML that can be read"),
    ],
)
def test_what_is_mistyped_is_refused_with_the_nearest(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in GOOD
    with pytest.raises(ValueError, match=message):
        read(tmp_path, GOOD.replace(old, new))


def test_a_file_without_a_generator_or_domains_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs a table \[generator\]"):
        read(tmp_path, "size_px = 32\nnum_classes = 2\n")
    with pytest.raises(ValueError, match="there is no such file"):
        read_task_file(tmp_path / "none.toml")
