"""LPIPS with random backbones in the file format of the public ones; the public files are never needed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lpips
import pytest
import torch
import torchvision
from torch import Tensor, nn

from gifd_ops import perceptual_weights
from gifd_ops.authors_metrics import lpips_normalized
from gifd_ops.identification import lpips_distance, rank_in_gallery
from gifd_ops.perceptual import Lpips, load_lpips
from gifd_ops.perceptual_weights import BACKBONES, check_backbone, find_backbone, how_to_get, hub_folder

NETS = ("alex", "vgg")
PUBLISHERS: dict[str, Callable[[], nn.Module]] = {"alex": torchvision.models.alexnet, "vgg": torchvision.models.vgg16}


def random_backbone(net: str) -> dict[str, Tensor]:
    """Random features under torchvision's names, and a classifier cut to nothing, which LPIPS does not look at."""
    with torch.device("meta"):
        published = PUBLISHERS[net]().state_dict()
    stream = torch.Generator().manual_seed(3)
    weights = {}
    for name, like in published.items():
        if name.startswith("classifier."):
            weights[name] = torch.zeros(1)
        elif name.endswith("bias"):
            weights[name] = 0.1 * torch.randn(like.shape, generator=stream)
        else:
            weights[name] = torch.randn(like.shape, generator=stream) * (2 / like[0].numel()) ** 0.5
    return weights


@pytest.fixture(scope="module")
def weights() -> dict[str, dict[str, Tensor]]:
    return {net: random_backbone(net) for net in NETS}


@pytest.fixture(scope="module")
def backbones(weights: dict[str, dict[str, Tensor]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    paths = {net: folder / BACKBONES[net].file for net in NETS}
    for net, path in paths.items():
        torch.save(weights[net], path)
    return paths


@pytest.fixture(scope="module")
def loaded(backbones: dict[str, Path]) -> dict[str, Lpips]:
    return {net: load_lpips(net, backbones[net]) for net in NETS}


def pictures(seed: int, rows: int = 3, side: int = 32) -> Tensor:
    return torch.rand(rows, 3, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.filterwarnings("ignore::UserWarning:torchvision.models")
@pytest.mark.parametrize("net", NETS)
def test_it_is_the_packages_lpips_with_the_backbone_put_in_by_hand(
    net: str, loaded: dict[str, Lpips], weights: dict[str, dict[str, Tensor]]
) -> None:
    with torch.random.fork_rng(devices=[]):
        by_hand = lpips.LPIPS(net=net, pnet_rand=True, verbose=False).requires_grad_(False)
    features = [weight for name, weight in weights[net].items() if name.startswith("features.")]
    parameters = list(by_hand.net.parameters())  # in the order of the layers, as in the file
    assert len(parameters) == len(features) == {"alex": 10, "vgg": 26}[net]
    for parameter, weight in zip(parameters, features, strict=True):
        parameter.copy_(weight)
    for side in (32, 45):
        images, truth = pictures(0, side=side), pictures(1, side=side)
        expected = by_hand(images, truth, normalize=True).flatten()
        assert float(expected.min()) > 0.01
        torch.testing.assert_close(loaded[net](images, truth), expected, rtol=0, atol=0)
        as_published = by_hand((images - 0.5) / 0.25, (truth - 0.5) / 0.25).flatten()
        found = lpips_normalized(loaded[net], images, truth, normalize=lambda images: (images - 0.5) / 0.25)
        torch.testing.assert_close(found, as_published, rtol=0, atol=0)
        assert float((as_published - expected).abs().min()) > 1e-3


@pytest.mark.parametrize("net", NETS)
def test_it_is_a_distance(net: str, loaded: dict[str, Lpips]) -> None:
    images, truth = pictures(0), pictures(1)
    assert loaded[net](truth, truth).tolist() == [0, 0, 0]
    torch.testing.assert_close(loaded[net](images, truth), loaded[net](truth, images), rtol=1e-5, atol=0)
    near, far = loaded[net](0.9 * truth + 0.1 * images, truth), loaded[net](images, truth)
    assert bool((near < far).all())
    torch.testing.assert_close(loaded[net](images[1:2], truth[1:2]), far[1:2], rtol=1e-5, atol=0)


@pytest.mark.parametrize("net", NETS)
def test_distances_of_embeddings_are_lpips(net: str, loaded: dict[str, Lpips], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gifd_ops.perceptual.EMBEDDED_AT_ONCE", 2)
    images, others = pictures(0), pictures(1, rows=5)
    found = lpips_distance(loaded[net])(images, others)
    for row in range(3):
        expected = loaded[net](images[row].expand_as(others), others)
        torch.testing.assert_close(found[row].float(), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("net", NETS)
def test_lpips_identifies_a_private_image_unless_it_is_doubled(net: str, loaded: dict[str, Lpips]) -> None:
    truth, gallery = pictures(0), pictures(1, rows=5)
    images = 0.8 * truth + 0.2 * pictures(2)
    assert rank_in_gallery(images, truth, gallery, lpips_distance(loaded[net])).tolist() == [1, 1, 1]
    doubled = torch.cat([gallery, truth[1:2]])
    assert rank_in_gallery(images, truth, doubled, lpips_distance(loaded[net])).tolist() == [1, 2, 1]


def test_it_is_frozen_in_eval_mode_and_keeps_the_precision_of_its_images(loaded: dict[str, Lpips]) -> None:
    metric = loaded["alex"]
    assert not any(module.training for module in metric.modules())
    assert not any(parameter.requires_grad for parameter in metric.parameters())
    images, truth = pictures(0), pictures(1)
    in_double = metric(images.double(), truth.double())
    assert in_double.dtype == torch.float64
    torch.testing.assert_close(in_double.float(), metric(images, truth), rtol=1e-5, atol=0)
    torch.testing.assert_close(metric.double()(images.double(), truth.double()), in_double, rtol=1e-4, atol=0)
    metric.float()


@pytest.mark.parametrize("net", NETS)
def test_loading_downloads_nothing_says_nothing_and_draws_nothing(
    net: str, backbones: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError(f"download of {arguments}")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filters = list(warnings.filters)
        load_lpips(net, backbones[net])
        assert warnings.filters == filters
    assert torch.equal(torch.get_rng_state(), before)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("net", NETS)
def test_the_smallest_size_works_and_one_pixel_less_is_refused(net: str, loaded: dict[str, Lpips]) -> None:
    smallest = BACKBONES[net].smallest_px
    assert smallest <= 32
    assert bool(loaded[net](pictures(0, side=smallest), pictures(1, side=smallest)).isfinite().all())
    less = pictures(0, side=smallest - 1)
    for call in (lambda: loaded[net](less, less), lambda: loaded[net].embed(less)):
        with pytest.raises(ValueError, match=rf"{net} needs images of {smallest} px or more, got \({smallest - 1}, "):
            call()
    with pytest.raises(RuntimeError):  # the network itself
        loaded[net].layers(less, less)


def test_images_outside_the_range_and_of_other_shapes_are_refused(loaded: dict[str, Lpips]) -> None:
    images = pictures(0)
    with pytest.raises(ValueError, match=r"\[0, 1\], got images from -1"):
        loaded["alex"](2 * images.round() - 1, images)
    with pytest.raises(ValueError, match="one shape"):
        loaded["alex"](images[:1], images)


def test_weights_that_disagree_are_named_five_at_most(weights: dict[str, dict[str, Tensor]], tmp_path: Path) -> None:
    path = tmp_path / "odd.pth"
    odd = dict(weights["alex"])
    del odd["features.3.bias"]
    odd["features.0.weight"] = torch.zeros(64, 3, 3, 3)
    odd["features.99.weight"] = torch.zeros(2)
    torch.save(odd, path)
    with pytest.raises(ValueError, match="LPIPS on alex") as refused:
        load_lpips("alex", path)
    message = str(refused.value)
    assert "features.0.weight should be (64, 3, 11, 11), is (64, 3, 3, 3)" in message
    assert "features.3.bias should be (192,), is absent" in message
    assert "features.99.weight should be absent, is (2,)" in message
    assert "more" not in message
    with pytest.raises(ValueError, match="and 24 more; use torchvision's vgg16") as refused:
        load_lpips("vgg", path)
    assert str(refused.value).count("should be") == 5


@pytest.mark.parametrize("content", [{}, [torch.zeros(3)], {"features.0.weight": 3, 5: torch.zeros(1)}])
def test_what_is_no_state_dict_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(ValueError, match=r"features\.0\.weight should be .*5 more; use torchvision's alexnet"):
        load_lpips("alex", tmp_path / "odd.pth")


class Code:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("echo run > run",)


def test_code_in_a_file_is_refused_and_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"features.0.weight": Code()}, "evil.pth")
    with pytest.raises(ValueError, match=r"evil\.pth must be .*tensors only"):
        load_lpips("alex", Path("evil.pth"))
    assert not Path("run").exists()


def test_an_unknown_network_is_refused(backbones: dict[str, Path]) -> None:
    for call in (lambda: load_lpips("squeeze", backbones["alex"]), lambda: find_backbone("squeeze")):
        with pytest.raises(ValueError, match="one of alex, vgg, got 'squeeze'"):
            call()


def test_the_sha256_must_begin_as_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / BACKBONES["alex"].file
    path.write_bytes(b"half a file")
    found = hashlib.sha256(b"half a file").hexdigest()
    with pytest.raises(
        ValueError, match=rf"begin with 7be5be79, got {found[:8]} \(11 bytes\).*delete it and fetch https"
    ):
        check_backbone(path, "alex")
    made_up = replace(BACKBONES["alex"], sha256_prefix=found[:8])
    monkeypatch.setattr(perceptual_weights, "BACKBONES", {"alex": made_up})
    check_backbone(path, "alex")
    path.write_bytes(b"half a filE")
    with pytest.raises(ValueError, match="altered"):
        check_backbone(path, "alex")


@pytest.mark.parametrize("net", NETS)
def test_the_table_is_torchvisions(net: str) -> None:
    backbone = BACKBONES[net]
    published = {"alex": torchvision.models.AlexNet_Weights, "vgg": torchvision.models.VGG16_Weights}[net]
    assert backbone.url == published.IMAGENET1K_V1.url
    assert backbone.file == f"{backbone.file.rpartition('-')[0]}-{backbone.sha256_prefix}.pth"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"XDG_CACHE_HOME": "/some/cache"},
        {"XDG_CACHE_HOME": "/some/cache", "TORCH_HOME": "~/torch"},
        {"TORCH_HOME": "relative"},
    ],
)
def test_weights_are_sought_where_torch_keeps_them(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("torch.hub._hub_dir", None)
    assert hub_folder() == Path(torch.hub.get_dir()) / "checkpoints"


@pytest.mark.parametrize("net", NETS)
def test_a_backbone_is_found_where_it_is(net: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder, file = tmp_path / "hub" / "checkpoints", BACKBONES[net].file
    assert find_backbone(net) is None
    assert str(folder) in how_to_get(net)
    assert file in how_to_get(net)
    folder.mkdir(parents=True)
    (folder / file).touch()
    assert find_backbone(net) == find_backbone(net, folder) == folder / file
    assert find_backbone(net, tmp_path) is None
    assert str(tmp_path / "elsewhere") in how_to_get(net, tmp_path / "elsewhere")


def test_the_remedy_is_a_command_that_can_be_pasted(tmp_path: Path) -> None:
    remedy = how_to_get("vgg", tmp_path)
    command = remedy.partition("python -c ")[2].strip('"')
    called = []
    torch_hub = type(sys)("torch.hub")
    torch_hub.load_state_dict_from_url = lambda *arguments, **options: called.append((arguments, options))  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch.hub", torch_hub)
        exec(command, {})
    assert called == [((BACKBONES["vgg"].url,), {"model_dir": str(tmp_path), "check_hash": True, "weights_only": True})]


def test_the_search_for_weights_needs_no_torch() -> None:
    code = "import sys, gifd_ops.perceptual_weights; assert not {'torch', 'lpips', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
