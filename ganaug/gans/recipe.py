"""How a model was made: what a checkpoint says of it, so that the same can be made again."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor

from datamodules.errors import InputError, reason_of
from datamodules.options import bound, shown
from datamodules.schema import Schema
from ganaug.gans.checkpoint import Unfit, fill, match
from ganaug.gans.own import covers

# Of a model that is made again, the values that its presets had given its options.
BEFORE: ContextVar[Mapping[str, Any]] = ContextVar("BEFORE", default={})  # noqa: B039  never written to


def defaults_of(cls: Any) -> dict[str, Any]:
    """Those of a model's options: what one was in a checkpoint from before there was the option."""
    own = inspect.signature(cls.__init__).parameters.values()
    return {p.name: p.default for p in own if p.default is not p.empty}


class Recipe(NamedTuple):
    """How a model was made, so that another can be.

    Args:
        cls: its class.
        schema: of its data.
        options: its hyperparameters, presets resolved.
        arguments: what its class was called with; None where a checkpoint does not say, as old ones, for the options.
    """

    cls: Any
    schema: Schema
    options: dict[str, Any]
    arguments: dict[str, Any] | None = None

    @classmethod
    def of(cls, model: Any) -> Recipe:
        """That of a model."""
        return cls(type(model), model.schema, dict(model.hparams), model.arguments)

    def make(self, schema: Schema | None = None, **changes: Any) -> Any:
        """A new model, with other options or of other data where wanted.

        Raises:
            InputError: options that cannot be used.
            TypeError: options of another class.
        """
        before = BEFORE.set({} if self.arguments is None else self.options)
        try:
            options = self.options if self.arguments is None else self.arguments
            return self.cls(schema=self.schema if schema is None else schema, **options | changes)
        finally:
            BEFORE.reset(before)

    def laid_out(self, schema: Schema | None = None) -> Any:
        """The model on the meta device, where nothing is allocated; elsewhere, if a class from outside needs values.

        Raises:
            InputError: see :meth:`make`.
            Unfit: it cannot be made.
        """
        try:
            with torch.device("meta"):
                return self.make(schema)
        except (InputError, Unfit):
            raise
        except Exception as error:
            ours = self.cls.__module__.partition(".")[0] == "ganaug"
            if ours and not any(callable((self.arguments or {}).get(name)) for name in self.cls.networks):
                raise Unfit(reason_of(error)) from error
        return self.make(schema)

    def filled(self, weights: dict[str, Tensor]) -> Any:
        """The model with these weights, on the CPU, for which nothing is allocated before they fit.

        Raises:
            InputError: options that cannot be used, or that have come to mean something else.
            TypeError: options of another class.
            Unfit: weights of other names, shapes or types.
        """
        bound(self.cls, schema=self.schema, **self.options if self.arguments is None else self.arguments)
        model = self.laid_out()
        empty = any(weight.is_meta for weight in model.state_dict().values())
        if not empty or not fill(model, weights):
            model = self.make() if empty else model
            model.load_state_dict(match(weights, model.state_dict()))
        was = defaults_of(self.cls) | self.options
        for name, value in model.hparams.items():
            if not covers(value, was.get(name)):
                raise InputError(f"{name} was {shown(was.get(name))} and would now become {shown(value)}")
        return model.to("cpu")  # says so to Lightning, too, which takes a module to be where it was made
