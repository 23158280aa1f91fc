"""Beginning a run from another model's weights, on other data: classes are matched by their names, words by theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from datamodules.errors import InputError
from datamodules.schema import Schema
from datamodules.text.schema import TextSchema
from ganaug.gans.base import GAN
from ganaug.gans.checkpoint import read_checkpoint
from ganaug.gans.recipe import Recipe

NEW = "\x00new", "\x00newer"  # two, since a model without classes is like one of a single class


class Named(NamedTuple):
    """Names that a dimension of some weights has a place for each of.

    Args:
        what: that they are names of.
        here, there: those of the model and those of the checkpoint, in order.
        dimensions: of each of the model's weights that has any, those with such places, which are the last but
            ``after``.
        after: places behind them.
    """

    what: str
    here: Sequence[str]
    there: Sequence[str]
    dimensions: dict[str, set[int]]
    after: int = 0

    def places(self, size: int) -> tuple[list[int], list[int], range, int]:
        """Of a dimension of so many places here: those taken, from where there; the named ones there, of how many."""
        first = max(0, size - len(self.here) - self.after)
        index = {name: first + k for k, name in enumerate(self.there)}
        behind = size - first - len(self.here)
        pairs = [(k, k) for k in range(first)]
        pairs += [(first + k, index[name]) for k, name in enumerate(self.here) if name in index]
        pairs += [(first + len(self.here) + k, first + len(self.there) + k) for k in range(behind)]
        named = range(first, first + len(self.there))
        return [a for a, _ in pairs], [b for _, b in pairs], named, named.stop + behind


def begin_from(model: GAN, path: str | Path) -> str:
    """Give a new model the weights of a checkpoint, as far as they fit it; in a line, what was taken and what not.

    Weights of the same name and shape are taken. Of those with a place for each class, or each word of the vocabulary,
    the places of the same names are; what is new begins at the mean of the checkpoint's, in the midst of what the other
    weights have learnt to read, instead of far off where it would be drawn. Where the checkpoint's model was told no
    classes, what reads them beside something else begins as it was drawn: a model may learn from rows without labels
    first.

    Raises:
        InputError: the checkpoint cannot be read, is of another class of models, or has nothing that fits.
    """
    checkpoint = read_checkpoint(path)
    ours = checkpoint["ganaug"]
    if ours["model"] != type(model).__name__:
        raise InputError(f"--init_from: {path} holds a {ours['model']}, this run trains a {type(model).__name__}")
    try:
        there = Schema.from_dict(ours["schema"])
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    named = _named(model, there)
    told = there.labelled and checkpoint.get("hyper_parameters", {}).get("conditional", True)
    plain: dict[str, Tensor] = {}  # the weights of such a model that is told no classes, as the checkpoint's is
    if model.conditional and not told:
        plain = Recipe.of(model).laid_out(replace(model.schema, classes=())).state_dict()
    weights, own = checkpoint["state_dict"], model.state_dict()
    whole: list[str] = []
    partly: list[str] = []
    left: list[str] = []
    for name, mine in own.items():
        if name.partition(".")[0] in model.of_data:
            continue
        if name not in weights:
            left.append(name)
            continue
        taken = put(mine, weights[name], [(d, kind) for kind in named for d in kind.dimensions.get(name, ())])
        if taken is None and name in plain and plain[name].shape == weights[name].shape:
            taken = put_in_front(mine, weights[name])
        (left if taken is None else whole if taken else partly).append(name)
    hint = model.schema.seen_otherwise(there)
    if not whole and not partly:
        why = f"; {hint}" if hint else ""
        raise InputError(f"--init_from: of {path} nothing fits this model: give it the same widths and layers{why}")
    return _said(path, whole, partly, left, named) + (f"; {hint}, for all that has this size" if hint and left else "")


def _named(model: GAN, there: Schema) -> list[Named]:
    """Which dimensions of weights are those of classes and of words: those that change when there are more of them."""
    here = model.schema
    classes = Named(
        "classes",
        here.classes or (here.class_name(0),),
        there.classes or (there.class_name(0),),
        _changed(model, replace(here, classes=(*here.classes, *NEW))) if model.conditional else {},
        model.after_classes,
    )
    found = [classes]
    if isinstance(here, TextSchema) and isinstance(there, TextSchema):
        more = replace(here, vocabulary=(*here.vocabulary, *NEW))
        found.append(Named("words", here.vocabulary, there.vocabulary, _changed(model, more)))
    return found


def _changed(model: GAN, schema: Schema) -> dict[str, set[int]]:
    """Dimensions of weights that are others with another schema."""
    other = Recipe.of(model).laid_out(schema).state_dict()
    found: dict[str, set[int]] = {}
    for name, weight in model.state_dict().items():
        if name in other and other[name].ndim == weight.ndim:
            pairs = zip(weight.shape, other[name].shape, strict=True)
            found[name] = {d for d, (a, b) in enumerate(pairs) if a != b}
    return {name: dimensions for name, dimensions in found.items() if dimensions}


@torch.no_grad()
def put(mine: Tensor, theirs: Tensor, dimensions: list[tuple[int, Named]]) -> bool | None:
    """Write their values into mine, in place; whether into the whole of it, or None where they do not fit.

    Args:
        dimensions: those with a place for each name.
    """
    if mine.ndim != theirs.ndim or mine.dtype != theirs.dtype:
        return None
    places = {d: kind.places(mine.shape[d]) for d, kind in dimensions}
    shape = [places[d][3] if d in places else size for d, size in enumerate(mine.shape)]
    if list(theirs.shape) != shape:
        return None
    if not places:
        mine.copy_(theirs)
        return True
    if len(places) > 1:
        return None
    ((d, (here, source, named, _)),) = places.items()
    new = sorted(set(range(mine.shape[d])) - set(here))
    if new and mine.is_floating_point():
        mean = theirs.index_select(d, torch.tensor(named)).mean(d, keepdim=True)
        mine.index_copy_(d, torch.tensor(new), mean.repeat_interleave(len(new), d))
    mine.index_copy_(
        d, torch.tensor(here, dtype=torch.int64), theirs.index_select(d, torch.tensor(source, dtype=torch.int64))
    )
    return len(here) == mine.shape[d]


@torch.no_grad()
def put_in_front(mine: Tensor, theirs: Tensor) -> bool | None:
    """Write their values into the first places of mine, along the one dimension where it is larger; see :func:`put`."""
    if mine.ndim != theirs.ndim:
        return None
    larger = [d for d, (a, b) in enumerate(zip(mine.shape, theirs.shape, strict=True)) if a != b]
    if len(larger) != 1 or mine.dtype != theirs.dtype or mine.shape[larger[0]] < theirs.shape[larger[0]]:
        return None
    mine.narrow(larger[0], 0, theirs.shape[larger[0]]).copy_(theirs)
    return False


def _said(path: str | Path, whole: list[str], partly: list[str], left: list[str], named: list[Named]) -> str:
    text = f"begun from {path}: {len(whole)} weights taken"
    for kind in named:
        if kind.dimensions:
            new = [name for name in kind.here if name not in kind.there]
            text += f", the {kind.what} matched by name" + (f" ({len(new)} new: {_some(new)})" if new else "")
    return text + (f", {len(partly)} in part" if partly else "") + (f"; not taken: {_some(left)}" if left else "")


def _some(names: Sequence[str]) -> str:
    return ", ".join(name.strip() for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
