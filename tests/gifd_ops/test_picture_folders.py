"""Named apart from analysis' test_pictures: test modules without packages need distinct names."""

from __future__ import annotations

import hashlib
from pathlib import Path

import matplotlib.cbook
import pytest
from PIL import Image

from gifd_ops.pictures import scan_pictures


def crop(index: int) -> Image.Image:
    with Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg")) as photo:
        return photo.crop((40 * index, 30 * index, 40 * index + 90, 30 * index + 60)).convert("RGB")


def save(path: Path, index: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    crop(index).save(path)
    return path


def test_every_png_and_jpeg_is_found_by_the_hash_of_its_file(tmp_path: Path) -> None:
    paths = [save(tmp_path / name, index) for index, name in enumerate(["a.png", "b.jpg", "c.JPEG"])]
    found = scan_pictures(tmp_path, num_classes=10)
    assert list(found) == sorted(paths)
    for path, picture in found.items():
        assert picture.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert picture.label is None


def test_sub_folders_are_classes_in_the_order_of_their_names(tmp_path: Path) -> None:
    save(tmp_path / "zebra" / "1.png", 0)
    save(tmp_path / "ant" / "deep" / "deeper" / "2.png", 1)
    save(tmp_path / "ant" / "3.png", 2)
    save(tmp_path / "mole" / "4.png", 3)
    labels = {path.name: picture.label for path, picture in scan_pictures(tmp_path, num_classes=3).items()}
    assert labels == {"2.png": 0, "3.png": 0, "4.png": 1, "1.png": 2}


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    seen = save(tmp_path / "seen.png", 0)
    save(tmp_path / ".hidden.png", 1)
    save(tmp_path / ".thumbnails" / "x.png", 2)
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    assert list(scan_pictures(tmp_path, num_classes=10)) == [seen]
    assert scan_pictures(tmp_path, num_classes=10)[seen].label is None


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [("notes.txt", b"not a picture", "TXT"), ("empty.png", b"", "PNG"), ("README", b"words", "no suffix")],
)
def test_a_file_that_is_no_picture_is_named_with_a_remedy(tmp_path: Path, name: str, content: bytes, kind: str) -> None:
    save(tmp_path / "good.png", 0)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} is not an image.*\({kind}\).*PNG or JPEG"):
        scan_pictures(tmp_path, num_classes=10)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_truncated_picture_is_noticed_before_anything_starts(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"cut.{suffix}", 0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=f"cut.{suffix} is not an image"):
        scan_pictures(tmp_path, num_classes=10)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_bytes(b"")
    (tmp_path / "class").mkdir()
    with pytest.raises(ValueError, match="holds no pictures; put PNG or JPEG"):
        scan_pictures(tmp_path, num_classes=10)


def test_what_is_not_a_folder_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", 0)
    for wrong in (path, tmp_path / "missing"):
        with pytest.raises(ValueError, match=rf"{wrong.name} is not a folder"):
            scan_pictures(wrong, num_classes=10)


def test_more_sub_folders_than_classes_are_refused_and_as_many_are_not(tmp_path: Path) -> None:
    for index in range(3):
        save(tmp_path / f"class-{index}" / "a.png", index)
    assert len(scan_pictures(tmp_path, num_classes=3)) == 3
    with pytest.raises(ValueError, match=r"3 sub-folders.*2 classes"):
        scan_pictures(tmp_path, num_classes=2)


def test_two_copies_of_a_picture_are_both_named(tmp_path: Path) -> None:
    first, second = save(tmp_path / "a" / "one.png", 0), save(tmp_path / "b" / "two.png", 0)
    with pytest.raises(ValueError, match="same picture; remove one") as caught:
        scan_pictures(tmp_path, num_classes=10)
    assert str(first) in str(caught.value)
    assert str(second) in str(caught.value)


def test_a_picture_beside_class_folders_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "class" / "a.png", 0)
    stray = save(tmp_path / "stray.png", 1)
    with pytest.raises(ValueError, match=f"{stray.name} lies beside sub-folders"):
        scan_pictures(tmp_path, num_classes=10)
