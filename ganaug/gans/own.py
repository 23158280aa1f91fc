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

from datamodules.errors import InputError, names_like, reason_of
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
    """Those of the options of a class or function."""
    try:
        own = _options(inspect.signature(made), given)
    except (TypeError, ValueError):  # of something built in
        own = []
    return {each.name: each.default for each in own if each.default is not each.empty}


def _options(signature: inspect.Signature, given: int) -> list[inspect.Parameter]:
    """Those that stand behind the arguments that the model gives, or are given by name alone."""
    every = signature.parameters.values()
    in_order = [each for each in every if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    return in_order[given:] + [each for each in every if each.kind is each.KEYWORD_ONLY]


def lost(make: Any, given: int) -> str:
    """Why a checkpoint cannot name what makes a network, so that it can be made again; empty where it can."""
    made, options = behind(make)
    path = path_of(made)
    if "<" in path:  # <locals>, <lambda>
        return f"{path} is defined inside a function"
    if not isinstance(made, type):
        return f"{path} is a function and no class"
    if _class(path) is not made:
        return f"{path} is not what its module has by this name"
    defaults = _defaults(made, given)
    odd = [name for name, each in options.items() if each is not defaults.get(name) and not plain(each)]
    return f"its {' and '.join(odd)} cannot be written as text and numbers" if odd else ""


def written(arguments: Mapping[str, Any], networks: Mapping[str, int]) -> dict[str, Any]:
    """What a checkpoint says of the arguments that a model was made from.

    They are in ``arguments``; those that it cannot hold are named in ``unsaved``, of networks with ``reasons``.

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
    unsaved = [name for name in named if name not in kept]
    reasons = {name: lost(arguments[name], networks[name]) for name in unsaved if name in networks}
    return {"arguments": kept, "unsaved": unsaved, "reasons": reasons}


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
        how = f"import {module} first, on the command line by --import {module}"
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


def flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with a network's class by its name, and each of its own as ``generator.width``."""
    found: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, dict) and value.keys() == {"class_path", "init_args"}:
            found[name] = value["class_path"]
            found |= {f"{name}.{option}": each for option, each in dict(value["init_args"] or {}).items()}
        else:
            found[name] = value
    return found


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


def unused(model: str, options: Mapping[str, Any], of_networks: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Options of a model's own networks that others are in the place of.

    Args:
        model: its name.
        options: as they were given, None where they were left out.
        of_networks: those of networks, and of which of them.

    Raises:
        InputError: some of them are given.
    """
    names = [name for name, whose in of_networks.items() if all(callable(options[network]) for network in whose)]
    if given := [name for name in names if options[name] is not None]:
        whose = list(dict.fromkeys(network for name in given for network in of_networks[name]))
        are, them = ("are options", "them") if given[1:] else ("is an option", "it")
        raise InputError(
            f"{' and '.join(given)} {are} of {model}'s own {' and '.join(whose)}, which {'are' if whose[1:] else 'is'}"
            f" not in use here: leave {them} out, or set {them} to null where a config sets {them}"
        )
    return names


def made(name: str, make: Any, asked: type, *given: Any) -> nn.Module:
    """The network of the option ``name``.

    Args:
        name: of the option.
        make: a class, or a ``functools.partial`` of one.
        asked: the protocol that says what it is made from.
        given: what the model gives every such network.

    Raises:
        InputError: it makes no network, or not from these.
    """
    if isinstance(make, nn.Module):
        raise InputError(f"{name}: give the class {type(make).__name__}, not a network: each model makes its own")
    kind, options = behind(make)
    one = path_of(kind)
    names = ", ".join(list(inspect.signature(asked).parameters))
    if isinstance(make, partial) and make.args and kind is make.func:
        raise InputError(f"{name} {one}: give functools.partial its options by name: the model itself gives {names}")
    try:
        signature = inspect.signature(kind)
        if not any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values()):
            known = [each.name for each in _options(signature, len(given))]
            for option in options:
                if option not in known:
                    raise InputError(f"{name} {one} has no option {option}: {names_like(option, known)}")
        signature.bind(*given, **options)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        where = f"{asked.__module__.replace('.', '/')}.py"
        raise InputError(f"{name} {one} cannot be made from {names} in this order: {error}; see {where}") from None
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
    if torch.empty(0).is_meta:  # it is made again
        return network
    if why := lost(make, len(given)):
        rank_zero_warn(
            f"{name} cannot be named in a checkpoint, which a run can then go on from, but not be loaded: {why}"
        )
    elif kind.__module__ == "__main__":
        rank_zero_warn(
            f"{name} {one} is defined in a script or a notebook: no other program, such as ganaug generate, can load"
            " its checkpoints; define it in a module and import that"
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


def answer(
    name: str, function: Callable[..., Any], inputs: Mapping[str, Any], wanted: tuple[int, ...], mixes: bool = False
) -> Tensor:
    """What a network, or a method of one, gives for some rows.

    Args:
        name: of the option.
        function: the network, or the method.
        inputs: by the names that a message has for them.
        wanted: the shape of the answer.
        mixes: whether what it gives for a row may depend on the rows beside it, of which is then warned.

    Raises:
        InputError: it cannot be given these inputs, does not give floats of that shape, or not the same ones again, or
            alone others than beside others.
    """
    network = getattr(function, "__self__", function)
    forward = function.forward if isinstance(function, nn.Module) else function
    who = f"{name} {path_of(type(network))}" + ("" if network is function else f".{function.__name__}")
    try:
        inspect.signature(forward).bind(*inputs.values())
    except TypeError as error:
        raise InputError(f"{who} is called with {', '.join(inputs)}: {error}") from None
    given = _shaped(who, function, inputs, wanted)
    if given.is_meta:
        return given
    if not torch.allclose(given, function(*inputs.values()), rtol=1e-3, atol=1e-4):
        raise InputError(f"{who} must give the same for the same {', '.join(inputs)}: no noise of its own in eval mode")
    for row in range(len(given)):
        alone = {one: each[row : row + 1] if isinstance(each, Tensor) else each for one, each in inputs.items()}
        if torch.allclose(_shaped(who, function, alone, (1, *wanted[1:]))[0], given[row], rtol=1e-3, atol=1e-4):
            continue
        if not mixes:
            raise InputError(f"{who} must give a row the same whatever rows are beside it: it mixes those of a batch")
        rank_zero_warn(f"{who} mixes the rows of a batch: what it says of one depends on those that are judged with it")
        break
    return given


def _shaped(who: str, function: Callable[..., Any], inputs: Mapping[str, Any], wanted: tuple[int, ...]) -> Tensor:
    """What it gives, refused where that is not of the shape that is wanted."""
    given: Any = function(*inputs.values())
    its = tuple(given.shape) if isinstance(given, Tensor) else f"a {type(given).__name__}"
    if its != wanted or not given.is_floating_point():
        shapes = ", ".join(f"{one} {tuple(each.shape)}" for one, each in inputs.items() if isinstance(each, Tensor))
        kind = "" if its != wanted else f" of {given.dtype}"
        raise InputError(f"{who} must give float32 {wanted} for {shapes}, not {its}{kind}")
    assert isinstance(given, Tensor)
    return given
