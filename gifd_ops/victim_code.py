"""Victims of a person's own: `module:function`, called with the number of classes and the side of the images."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

Builder = Callable[[int, int], nn.Module]


def find_builder(name: str, *, code: Path | None) -> tuple[Builder, str]:
    """The function that `module:function` names, and the sha256 of its file. Modules are looked for in `code` first.

    Raises ValueError if there is none.
    """
    module_name, colon, function_name = name.partition(":")
    if not colon or not module_name or not function_name:
        raise ValueError(f"a victim is a registered one or MODULE:FUNCTION, got {name!r}")
    try:
        module = _load(module_name, code)
    except Exception as error:  # whatever the module does when it is imported
        raise ValueError(
            f"the victim {name} cannot be imported ({type(error).__name__}: {error}); put {module_name}.py beside the "
            "task's file, or install its package"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ValueError(f"the victim {name} needs a function {function_name} in {module_name}; there is none")
    source = module.__file__
    return function, "" if source is None else hashlib.sha256(Path(source).read_bytes()).hexdigest()


def _load(name: str, code: Path | None) -> ModuleType:
    """The module: the file of that name in `code`, read anew, or else an installed one."""
    path = None if code is None else code.joinpath(*name.split(".")).with_suffix(".py")
    if path is None or not path.is_file():
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(f"victim code {path}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_layers(builder: Builder, name: str, *, num_classes: int, size_px: int, seed: int) -> nn.Module:
    """A module of the function's, initialized from `seed`; ValueError for anything else. `check_victim` tries it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = builder(num_classes, size_px)
    if not isinstance(layers, nn.Module):
        raise ValueError(f"the victim {name} must return a torch.nn.Module, got {type(layers).__name__}")
    for module in layers.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]  # gradients need what enters the layers
    return layers


def count_layers(layers: nn.Module) -> int:
    """Layers with parameters of their own."""
    return sum(any(True for _ in module.parameters(recurse=False)) for module in layers.modules())
