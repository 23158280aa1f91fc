"""What a run that goes on takes from a checkpoint beside its weights: whether that is whole, and fits the run."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.optim import Optimizer

from datamodules.errors import InputError, names_like
from datamodules.lightning_internals import counters, made_optimizers
from datamodules.schema import Schema
from ganaug.gans.checkpoint import Unfit
from ganaug.gans.own import flat

LARGEST = 2**53  # that a counter may have reached
IMPLEMENTATION = ("foreach", "fused", "capturable", "differentiable")  # how a step is taken, not what it computes
ADAM = {"step", "exp_avg", "exp_avg_sq"}


def compare(
    checkpoint: Mapping[str, Any],
    options: Mapping[str, Any],
    schema: Schema,
    free: Collection[str],
    allowed: Collection[str],
) -> dict[str, Any]:
    """Refuse a checkpoint of other options or other data than a run's; the old values of options that may differ.

    Args:
        checkpoint: that the run goes on from.
        options: of the run, those of networks of one's own as :func:`~ganaug.gans.own.flat` has them.
        schema: of the run.
        free: options that may always differ.
        allowed: options that may differ in this run.

    Raises:
        InputError: naming what differs.
    """
    ours = checkpoint["ganaug"]
    theirs = flat(ours.get("arguments", {}) | checkpoint["hyper_parameters"])
    for name in allowed:
        if name not in options:
            raise InputError(f"allow_changes: no option {name}; {names_like(name, options)}")
    every = dict.fromkeys([*options, *(name for name in theirs if "." in name and name.partition(".")[0] in options)])
    others = [name for name in every if name not in free and theirs.get(name) != options.get(name)]
    # Of the options of another network nothing is to be said.
    others = [name for name in others if "." not in name or name.partition(".")[0] not in others]
    refused = [name for name in others if not {name, name.partition(".")[0]} & {*allowed}]
    differ = [f"{name} {theirs.get(name)!r} there, {options.get(name)!r} here" for name in refused]
    if fields := schema.differences(ours["schema"]):
        why = "other data, or another split of them"
        if {"image_size"} <= set(fields) <= {"image_size", "fit"}:
            why = schema.seen_otherwise(Schema.from_dict(ours["schema"]))
        differ.append(f"the data's {', '.join(fields)} ({why})")
    if differ:
        reason = f"the checkpoint does not fit this run: {'; '.join(differ)}"
        others_too = f"options, or let them differ by --allow_changes [{','.join(refused)}]"
        raise InputError(f"{reason}: resume with the same {'options and data' if fields else others_too}")
    return {name: theirs.get(name) for name in others}


def check_progress(checkpoint: Mapping[str, Any], trainer: Trainer) -> None:
    """Refuse counters and callbacks' states of other types than this run's, or that contradict each other.

    Raises:
        Unfit: where they do.
    """
    if missing := {"optimizer_states", "lr_schedulers", "loops", "global_step"} - checkpoint.keys():
        raise Unfit(f"it holds weights alone and no {sorted(missing)[0]}, so that no run can go on from it")
    step, end = checkpoint["global_step"], trainer.max_steps
    if 0 <= end < step:
        raise Unfit(f"it is at step {step}, and the run is to end at step {end}: raise --trainer.max_steps")
    if end == step:
        rank_zero_info(
            f"the run is complete: the checkpoint is at step {step} of {end}; raise --trainer.max_steps to go on"
        )
    loop = checkpoint["loops"].get("fit_loop")
    if not isinstance(loop, dict):
        raise Unfit("it has no counters of training")
    for name, ours in trainer.fit_loop.state_dict().items():
        if name in loop:  # Lightning's own leniency with older checkpoints
            _like(loop[name], ours, name)
    loaders = loop.get("state_dict", {}).get("combined_loader", [])
    if not isinstance(loaders, list) or len(loaders) > 1 or not all(isinstance(one, dict) for one in loaders):
        raise Unfit("the position in its data is damaged")
    count = counters(checkpoint)
    if not _count(count["axis"]):
        raise Unfit("its counter of the loggers' steps is damaged")
    seen, steps = count["batches"], count["steps"]
    if steps != step or seen not in (steps, (steps or 0) + 1):
        raise Unfit(f"its counters contradict each other: step {step}, {steps} and {seen} batches")
    for callback in getattr(trainer, "callbacks", []):
        states = checkpoint.get("callbacks", {})
        # Of others a number may have become a time, or -1: theirs to judge.
        own = isinstance(callback, ModelCheckpoint) or type(callback).__module__.partition(".")[0] == "ganaug"
        if own and callback.state_key in states:
            _like(states[callback.state_key], callback.state_dict(), callback.state_key)


def _like(theirs: Any, ours: Any, name: str) -> None:
    """Refuse what has not all that ours has, of the same types; None may become anything."""
    if isinstance(ours, dict):
        if not isinstance(theirs, dict):
            raise Unfit(f"its {name} is damaged")
        for key, value in ours.items():
            if key not in theirs:
                raise Unfit(f"its {name} has no {key}")
            _like(theirs[key], value, name)
    elif not _count(theirs) if type(ours) is int else isinstance(ours, bool | str) and type(theirs) is not type(ours):
        raise Unfit(f"its {name} is damaged")


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < LARGEST


def check_gradients(gradients: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> None:
    """Refuse gradients that are not those of parameters, or of parameters in several processes.

    Raises:
        Unfit: which.
    """
    for name, gradient in gradients.items():
        own = parameters.get(name)
        if own is None or own.shape not in (gradient.shape, gradient.shape[1:]) or gradient.dtype != own.dtype:
            raise Unfit(f"its gradient of {name} is not that of a parameter")


def take_optimizers(
    checkpoint: dict[str, Any],
    optimizers: list[Optimizer],
    before: list[Optimizer] | None,
    scheduled: Collection[str] = ("lr",),
) -> None:
    """Make the states of optimisers in a checkpoint fit the run's, in place.

    Options of a step's implementation become the run's, since a checkpoint may come from another precision or device.

    Args:
        checkpoint: whose ``optimizer_states`` are changed.
        optimizers: of the run.
        before: those that the checkpoint's own options would have made, where they are others than the run's: in what
            the two differ, the run's count.
        scheduled: options that a step of the model sets.

    Raises:
        Unfit: the states are damaged, or are those of other parameters.
    """
    states = checkpoint["optimizer_states"]
    counts = checkpoint["ganaug"].get("moments")  # of how many parameters, which old checkpoints do not say
    if len(states) != len(optimizers):
        raise Unfit(f"it has the states of {len(states)} optimisers, the model has {len(optimizers)}")
    for number, (state, optimizer) in enumerate(zip(states, optimizers, strict=True)):
        groups = state.get("param_groups") if isinstance(state, dict) else None
        if not isinstance(groups, list) or len(groups) != len(optimizer.param_groups):
            raise Unfit(f"its optimiser {number} has no groups of parameters, or others than the model's")
        for k, ours in enumerate(optimizer.param_groups):
            old = before[number].param_groups[k] if before else None
            free = ours.keys() if checkpoint["lr_schedulers"] else scheduled
            groups[k] = _group(groups[k], ours, old, f"optimiser {number}", free)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        names = [name for group in groups for name in group["params"]]
        if len(names) != len(parameters):
            raise Unfit(f"its optimiser {number} has {len(names)} parameters, the model's {len(parameters)}")
        of = dict(zip(names, parameters, strict=True))
        if not isinstance(state.get("state"), dict) or not state["state"].keys() <= of.keys():
            raise Unfit(f"its optimiser {number} is damaged")
        if counts is not None and (
            not isinstance(counts, list) or counts[number : number + 1] != [len(state["state"])]
        ):
            raise Unfit(f"its optimiser {number} has lost the moments of a parameter")
        for name, kept in state["state"].items():
            _check_state(kept, of[name], isinstance(optimizer, torch.optim.Adam), f"optimiser {number}")


def optimizers_before(model: LightningModule, changed: Mapping[str, Any]) -> list[Optimizer] | None:
    """Optimisers that the options before a change on resume would make; None where none has changed.

    Args:
        model: of the run.
        changed: what the options were that have changed.
    """
    if not changed:
        return None
    now = {name: model.hparams[name] for name in changed if name in model.hparams}
    model.hparams.update({name: changed[name] for name in now})
    try:
        return made_optimizers(model)
    finally:
        model.hparams.update(now)


def _group(
    theirs: Any, ours: Mapping[str, Any], old: Mapping[str, Any] | None, name: str, scheduled: Collection[str]
) -> Any:
    """A group's options as the run goes on with them."""
    indices = theirs.get("params") if isinstance(theirs, dict) else None
    if not isinstance(indices, list) or not all(_count(index) for index in indices):
        raise Unfit(f"its {name} is damaged")
    group = dict(theirs)
    for key, value in ours.items():
        if key == "params":
            continue
        if key in IMPLEMENTATION or key not in group or (old is not None and old[key] != value):
            group[key] = value
        elif not _number_like(group[key], value):
            raise Unfit(f"its {name} has {key} {group[key]!r:.40}")
        elif key not in scheduled and group[key] != value:
            raise Unfit(f"its {name} has {key} {group[key]!r:.40}, its options say {value!r:.40}")
    return group


def _number_like(theirs: Any, ours: Any) -> bool:
    if isinstance(ours, tuple | list):
        return isinstance(theirs, tuple | list) and len(theirs) == len(ours) and all(map(_number_like, theirs, ours))
    if isinstance(ours, bool) or not isinstance(ours, int | float | Tensor):
        return type(theirs) is type(ours)
    number = float(theirs) if isinstance(theirs, int | float | Tensor) and not isinstance(theirs, bool) else math.nan
    return math.isfinite(number) and number >= 0


def _check_state(kept: Any, parameter: Tensor, adam: bool, name: str) -> None:
    """Refuse moments that are not those of a parameter."""
    if not isinstance(kept, dict) or (adam and not kept.keys() >= ADAM):
        raise Unfit(f"its {name} is damaged")
    for part, value in kept.items():
        if isinstance(value, Tensor):
            if value.ndim and value.shape != parameter.shape:
                raise Unfit(f"its {name} has {part} of {tuple(value.shape)}, and not of {tuple(parameter.shape)}")
            if not value.is_floating_point() or not bool(torch.isfinite(value).all()):
                raise Unfit(f"its {name} has {part} that is no number")
        if part in ("step", "exp_avg_sq") and not (isinstance(value, Tensor) and bool((value >= 0).all())):
            raise Unfit(f"its {name} has {part} that is no number of at least 0")
        if part in ("exp_avg", "exp_avg_sq") and (not isinstance(value, Tensor) or value.shape != parameter.shape):
            raise Unfit(f"its {name} has no {part} of {tuple(parameter.shape)}")
