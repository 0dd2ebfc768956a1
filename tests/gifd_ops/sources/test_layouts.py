"""Labels come from where a layout keeps them, and a picture without one stops everything."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from gifd_ops.sources.layouts import open_source
from gifd_ops.sources.source import check_large_enough


def picture(path: Path, *, shade: int = 0, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 16), (shade, 40, 80)).convert(mode).save(path)
    return path


def labels(folder: Path, layout: str, *, num_classes: int = 10) -> dict[str, int | None]:
    return {entry.name: entry.label for entry in open_source(folder, layout, num_classes=num_classes).entries}


def face(folder: Path, name: str, age: object) -> None:
    picture(folder / f"{name}.png", shade=len(list(folder.glob("*.png"))))
    described = folder / "json" / f"{name}.json"
    described.parent.mkdir(exist_ok=True)
    described.write_text(json.dumps([{"faceAttributes": {"age": age}}]))


def test_a_face_is_labelled_by_its_decade(tmp_path: Path) -> None:
    for name, age in (("00000", 9.0), ("00001", 10.0), ("00002", 42), ("00003", 99)):
        face(tmp_path, name, age)
    assert labels(tmp_path, "ffhq") == {"00000.png": 0, "00001.png": 1, "00002.png": 4, "00003.png": 9}


@pytest.mark.parametrize("told", ["[]", "[{}]", '[{"faceAttributes": {"age": null}}]', "no json", None])
def test_a_face_without_an_age_is_named_and_replaced_by_no_other(told: str | None, tmp_path: Path) -> None:
    for name, age in (("00000", 5), ("00001", 15), ("00002", 25)):
        face(tmp_path, name, age)
    described = tmp_path / "json" / "00001.json"
    described.unlink() if told is None else described.write_text(told)
    with pytest.raises(ValueError, match=r"00001\.png has no label: .*00001\.json .*add the file, remove the picture"):
        labels(tmp_path, "ffhq")


def test_a_face_older_than_the_classes_is_refused(tmp_path: Path) -> None:
    face(tmp_path, "00000", 5)
    face(tmp_path, "00001", 104)
    with pytest.raises(ValueError, match=r"00001\.png has label 10, and the victim has the classes 0 to 9"):
        labels(tmp_path, "ffhq")


def test_faces_in_sub_folders_are_labelled_by_them(tmp_path: Path) -> None:
    picture(tmp_path / "b" / "1.png")
    picture(tmp_path / "a" / "2.png")
    assert labels(tmp_path, "ffhq") == {"a/2.png": 0, "b/1.png": 1}


def test_a_picture_beside_class_folders_is_refused(tmp_path: Path) -> None:
    for name in ("dog/1.png", "cat/1.png", "stray.png"):
        picture(tmp_path / name)
    with pytest.raises(ValueError, match=r"stray\.png has no label"):
        labels(tmp_path, "class_folders")


def test_a_folder_of_one_class_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "dog" / "1.png")
    picture(tmp_path / "dog" / "2.png")
    with pytest.raises(ValueError, match=r"pictures of one class only \(label 0\)"):
        labels(tmp_path, "class_folders")
    assert labels(tmp_path, "flat") == {"dog/1.png": None, "dog/2.png": None}


def test_more_folders_than_classes_are_refused(tmp_path: Path) -> None:
    for name in "abc":
        picture(tmp_path / name / "1.png")
    with pytest.raises(ValueError, match="3 sub-folders with pictures, which are classes, and the victim has 2"):
        labels(tmp_path, "class_folders", num_classes=2)


def test_synset_folders_are_numbered_alphabetically(tmp_path: Path) -> None:
    picture(tmp_path / "n00000002" / "a.JPEG")
    picture(tmp_path / "n00000001" / "b.JPEG")
    assert labels(tmp_path, "imagenet", num_classes=2) == {"n00000001/b.JPEG": 0, "n00000002/a.JPEG": 1}


def test_a_few_synsets_need_the_list_of_all(tmp_path: Path) -> None:
    picture(tmp_path / "n00000003" / "a.JPEG")
    picture(tmp_path / "n00000001" / "b.JPEG")
    with pytest.raises(ValueError, match=r"has 2 synsets and the victim 3 classes, so their numbers are not known"):
        labels(tmp_path, "imagenet", num_classes=3)
    (tmp_path / "synsets.txt").write_text("n00000001\nn00000002\nn00000003\n")
    assert labels(tmp_path, "imagenet", num_classes=3) == {"n00000001/b.JPEG": 0, "n00000003/a.JPEG": 2}


def test_a_flat_folder_reads_its_list(tmp_path: Path) -> None:
    for name in ("ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000002.JPEG"):
        picture(tmp_path / name)
    (tmp_path / "val.txt").write_text("ILSVRC2012_val_00000001.JPEG 65\nILSVRC2012_val_00000002.JPEG 970\n")
    assert list(labels(tmp_path, "imagenet", num_classes=1000).values()) == [65, 970]
    (tmp_path / "val.txt").write_text("ILSVRC2012_val_00000001.JPEG 65\n")
    with pytest.raises(ValueError, match=r"val_00000002\.JPEG has no label: .*val\.txt does not name it"):
        labels(tmp_path, "imagenet", num_classes=1000)


def test_the_devkits_own_numbers_are_not_taken_for_classes(tmp_path: Path) -> None:
    picture(tmp_path / "ILSVRC2012_val_00000001.JPEG")
    (tmp_path / "ILSVRC2012_validation_ground_truth.txt").write_text("490\n")
    with pytest.raises(ValueError, match="counts classes as the devkit does, not alphabetically"):
        labels(tmp_path, "imagenet", num_classes=1000)


@pytest.mark.parametrize("mode", ["L", "P", "LA", "CMYK", "RGBA"])
def test_every_8_bit_mode_is_opened(mode: str, tmp_path: Path) -> None:
    picture(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"), mode=mode)
    source = open_source(tmp_path, "flat", num_classes=2)
    assert source.open(source.entries[0]).convert("RGB").size == (20, 16)


@pytest.mark.parametrize("kind", ["deep", "cut", "text"])
def test_what_is_no_8_bit_picture_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png")
    if kind == "deep":
        Image.fromarray(np.full((20, 20), 40_000, dtype=np.uint16)).save(path)
    else:
        path.write_bytes(path.read_bytes()[:60] if kind == "cut" else b"hello")
    source = open_source(tmp_path, "flat", num_classes=2)
    with pytest.raises(ValueError, match=r"a\.png .*convert it to"):
        source.open(source.entries[0])


def test_a_picture_is_never_enlarged(tmp_path: Path) -> None:
    source = open_source(picture(tmp_path / "a.png").parent, "flat", num_classes=2)
    image = source.open(source.entries[0])
    check_large_enough(image, "a.png", size_px=16)
    with pytest.raises(ValueError, match=r"a\.png is 20 x 16 px, and pictures are shrunk to 17 px"):
        check_large_enough(image, "a.png", size_px=17)


def test_cifar_is_read_by_torchvision_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(256, size=(4, 3072), dtype=np.uint8)
    (folder / "test_batch").write_bytes(pickle.dumps({"data": pixels, "labels": [3, 8, 3, 0]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    sums = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(
        datasets.CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}
    )
    source = open_source(tmp_path, "cifar10", num_classes=10)
    assert [entry.label for entry in source.entries] == [3, 8, 3, 0]
    assert np.array_equal(np.asarray(source.open(source.entries[1])).transpose(2, 0, 1).flatten(), pixels[1])
    assert len({source.digest(entry) for entry in source.entries}) == 4
    assert source.place(source.entries[2]) == f"cifar10:{tmp_path}:00002"


def test_celeba_is_read_by_torchvision_and_labelled_by_smiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, names = tmp_path / "celeba", ("000001.jpg", "000002.jpg", "000003.jpg")
    for name in names:
        picture(folder / "img_align_celeba" / name)
    (folder / "list_eval_partition.txt").write_text("000001.jpg 0\n000002.jpg 2\n000003.jpg 2\n")
    (folder / "identity_CelebA.txt").write_text("".join(f"{name} 5\n" for name in names))
    tables = {"bbox_celeba": "x_1 y_1", "landmarks_align_celeba": "a b", "attr_celeba": "Bald Smiling"}
    for table, columns in tables.items():
        rows = "".join(f"{name} -1 {sign}\n" for name, sign in zip(names, (1, -1, 1), strict=True))
        (folder / f"list_{table}.txt").write_text(f"3\n{columns}\n{rows}")
    monkeypatch.setattr(datasets.CelebA, "file_list", [])  # their sums are those of the real files
    source = open_source(tmp_path, "celeba", num_classes=2)
    assert {entry.name: entry.label for entry in source.entries} == {"000002.jpg": 0, "000003.jpg": 1}
    assert source.place(source.entries[0]) == str(folder / "img_align_celeba" / "000002.jpg")


@pytest.mark.parametrize(("layout", "below"), [("cifar10", "cifar-10-batches-py"), ("celeba", "celeba")])
def test_an_absent_torchvision_set_says_where_it_belongs(layout: str, below: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{below} does not hold what torchvision expects .*nothing is downloaded"):
        open_source(tmp_path, layout, num_classes=10)


def test_an_empty_folder_and_a_strange_layout_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no pictures"):
        open_source(tmp_path, "flat", num_classes=2)
    with pytest.raises(ValueError, match="a layout is one of class_folders, flat, ffhq"):
        open_source(tmp_path, "pacs", num_classes=2)
