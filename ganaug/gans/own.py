"""Networks of one's own in a model: made and tried once, and named in a checkpoint so that they are found again."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from datamodules.errors import InputError, reason_of
from datamodules.options import shown
from ganaug.gans.checkpoint import plain
from ganaug.runtime.outside import behind, path_of

NOT_THEIRS = Path(torch.__file__).parent, Path(__file__).parent

# ---- in plain values ----


def spelled(make: Any, given: int) -> Any:
    """Import path and options of what makes a network, those left out with their defaults; other options as they are.

    Args:
        make: a class, a ``functools.partial`` of one, or what jsonargparse gives; or an option that is none of these.
        given: how many arguments of its own the model gives it, before the options.

    Returns:
        ``{"class_path": …, "init_args": {…}}``, of the options those that are plain values.
    """
    if not callable(make):
        return make
    made, options = behind(make)
    options = _defaults(made, given) | options
    return {"class_path": path_of(made), "init_args": {name: each for name, each in options.items() if plain(each)}}


def _defaults(made: Any, given: int) -> dict[str, Any]:
    """Those of the options of a class or function, which stand behind the arguments that the model gives it."""
    try:
        own = list(inspect.signature(made).parameters.values())[given:]
    except (TypeError, ValueError):  # of something built in
        own = []
    return {each.name: each.default for each in own if each.default is not each.empty}


def lost(make: Any, given: int) -> bool:
    """Whether a checkpoint cannot name what makes a network: no class that can be found again, or no plain options."""
    made, options = behind(make)
    own = {name: each for name, each in options.items() if each is not _defaults(made, given).get(name)}
    return _class(path_of(made)) is not made or not plain(own)


def written(arguments: Mapping[str, Any], networks: Mapping[str, int]) -> dict[str, Any]:
    """What a checkpoint says of the arguments that a model was made from: ``arguments``, and the names of ``unsaved``.

    Args:
        arguments: of the model, by name.
        networks: which of them make networks, and of how many arguments of the model's.
    """
    named = {
        name: spelled(value, networks[name])
        if name in networks and callable(value) and not lost(value, networks[name])
        else value
        for name, value in arguments.items()
    }
    kept = {name: value for name, value in named.items() if plain(value)}
    return {"arguments": kept, "unsaved": [name for name in named if name not in kept]}


def found(arguments: Mapping[str, Any], networks: Mapping[str, int]) -> dict[str, Any]:
    """Arguments of a checkpoint with the classes of its networks, among those that have been imported; none is here.

    Raises:
        InputError: there is no such class.
    """
    return {n: _found(n, each) if n in networks and isinstance(each, dict) else each for n, each in arguments.items()}


def _found(name: str, said: dict[str, Any]) -> Any:
    path, options = said.get("class_path"), said.get("init_args")
    if said.keys() != {"class_path", "init_args"} or not isinstance(path, str) or not isinstance(options, dict):
        raise InputError(f"its {name} is {shown(said)}, which names no network")
    if (made := _class(path)) is None:
        module = path.rpartition(".")[0]
        how = f"import the module that defines it (--import {module})"
        if module == "__main__":
            how = "it was defined in a script that was run: define it in a module, and import that"
        raise InputError(f"its {name} is a {path}, which has not been imported: {how}")
    return partial(made, **options)


def _class(path: str) -> type[nn.Module] | None:
    """A network's class by the path of its definition, in modules that have been imported; nothing else is found."""
    parts = path.split(".")
    for end in range(len(parts) - 1, 0, -1):
        if (module := sys.modules.get(".".join(parts[:end]))) is None:
            continue
        one: Any = module
        for part in parts[end:]:
            one = vars(one).get(part) if hasattr(one, "__dict__") else None
        return one if isinstance(one, type) and issubclass(one, nn.Module) and path_of(one) == path else None
    return None


def covers(now: Any, before: Any) -> bool:
    """Whether a network that is named now is that of before: with all its options, and maybe such as it had not yet."""
    if not isinstance(now, dict) or not isinstance(before, dict):
        return bool(now == before)
    same = now.get("class_path") == before.get("class_path")
    ours, theirs = now.get("init_args"), before.get("init_args")
    if not same or not isinstance(ours, dict) or not isinstance(theirs, dict):
        return bool(now == before)
    return all(name in ours and ours[name] == value for name, value in theirs.items())


# ---- made, and tried ----


def made(name: str, make: Any, *given: Any) -> nn.Module:
    """The network of the option ``name``.

    Args:
        name: of the option.
        make: a class, or a ``functools.partial`` of one.
        given: what the model gives every such network.

    Raises:
        InputError: it makes no network, or not from these.
    """
    if isinstance(make, nn.Module):
        raise InputError(f"{name}: give the class {type(make).__name__}, not a network: each model makes its own")
    kind, options = behind(make)
    one = path_of(kind)
    try:
        inspect.signature(kind).bind(*given, **options)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} {one} is given {len(given)} arguments and its options: {error}") from None
    try:
        network = make(*given)
    except InputError:
        raise
    except Exception as error:
        if torch.empty(0).is_meta:
            raise
        raise _failed(f"{name} {one}", error) from error
    if not isinstance(network, nn.Module):
        raise InputError(f"{name} {one} must make a torch.nn.Module, not a {type(network).__name__}")
    if lost(make, len(given)):
        rank_zero_warn(
            f"{name} {one} cannot be named in a checkpoint: a run can be resumed with it, but its checkpoints not be"
            " loaded; give a class of a module, or a functools.partial of one with plain options"
        )
    return network


def _failed(one: str, error: Exception) -> InputError:
    """What somebody's network says, and where in their code."""
    frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    theirs = [f", {file.name}, line {line}" for file, line in frames if not any(map(file.is_relative_to, NOT_THEIRS))]
    return InputError(f"{one}{''.join(theirs[-1:])}: {reason_of(error):.300}")


@contextmanager
def trial(name: str, network: nn.Module) -> Iterator[None]:
    """Without gradients, as in samples; the network is left as it was. On the meta device what fails says nothing.

    Args:
        name: of the option.
        network: what is tried inside.

    Raises:
        InputError: it fails, where.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            yield
    except InputError:
        raise
    except Exception as error:
        if not torch.empty(0).is_meta:  # where nothing can be asked for its value
            raise _failed(f"{name} {path_of(type(network))}", error) from error
    finally:
        for module, training in modes.items():
            module.training = training


def answer(name: str, function: Callable[..., Any], inputs: Mapping[str, Any], wanted: tuple[int, ...]) -> Tensor:
    """What a network, or a method of one, gives for some inputs.

    Args:
        name: of the option.
        function: the network, or the method.
        inputs: by the names that a message has for them.
        wanted: the shape of the answer.

    Raises:
        InputError: it cannot be given these inputs, does not give floats of that shape, or not the same ones again.
    """
    network = getattr(function, "__self__", function)
    forward = function.forward if isinstance(function, nn.Module) else function
    who = f"{name} {path_of(type(network))}" + ("" if network is function else f".{function.__name__}")
    try:
        inspect.signature(forward).bind(*inputs.values())
    except TypeError as error:
        raise InputError(f"{who} is called with {', '.join(inputs)}: {error}") from None
    given: Any = function(*inputs.values())
    its = tuple(given.shape) if isinstance(given, Tensor) else f"a {type(given).__name__}"
    if its != wanted or not given.is_floating_point():
        shapes = ", ".join(f"{one} {tuple(each.shape)}" for one, each in inputs.items() if isinstance(each, Tensor))
        kind = "" if its != wanted else f" of {given.dtype}"
        raise InputError(f"{who} must give float32 {wanted} for {shapes}, not {its}{kind}")
    assert isinstance(given, Tensor)
    if not given.is_meta and not torch.allclose(given, function(*inputs.values()), rtol=1e-3, atol=1e-4):
        raise InputError(f"{who} must give the same for the same {', '.join(inputs)}: no noise of its own in eval mode")
    return given
