"""A checkpoint into the model that it holds."""

from __future__ import annotations

from pathlib import Path

from datamodules.errors import InputError
from datamodules.schema import Schema
from ganaug.gans.base import GAN
from ganaug.gans.checkpoint import Unfit, read_checkpoint
from ganaug.gans.own import found
from ganaug.gans.recipe import Recipe


def load(path: str | Path) -> GAN:
    """The model of a checkpoint, on the CPU, ready to ``sample``.

    Args:
        path: of a checkpoint that ``ganaug fit`` wrote.

    Raises:
        InputError: see :func:`read_checkpoint`; or its class, or that of one of its networks, has not been imported.
    """
    checkpoint = read_checkpoint(path)
    name = checkpoint["ganaug"]["model"]
    if name not in GAN.models:
        known = ", ".join(GAN.models)
        how = "import the module that defines it first, on the command line by --import"
        raise InputError(f"{path} holds a {name}; known are {known}: {how}")
    try:
        schema = Schema.from_dict(checkpoint["ganaug"]["schema"])
        if unsaved := checkpoint["ganaug"].get("unsaved"):
            reasons = checkpoint["ganaug"].get("reasons", {})
            whys = "; ".join(f"{one} ({reasons[one]})" if one in reasons else one for one in unsaved)
            raise InputError(
                f"no checkpoint can say how its {whys} is made: a run of the model, made as before, can go on from it;"
                " to be loaded it needs a class of a module, with options of text and numbers"
            )
        cls, arguments = GAN.models[name], checkpoint["ganaug"].get("arguments")
        arguments = None if arguments is None else found(arguments, cls.networks)
        recipe = Recipe(cls, schema, checkpoint["hyper_parameters"], arguments)
        model: GAN = recipe.filled(checkpoint["state_dict"]).eval()
        return model
    except Unfit as error:
        raise InputError(f"{path}: its weights do not fit its {name}: {error}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except TypeError as error:
        raise InputError(f"{path}: its options are not those of {name}: {' '.join(str(error).split())}") from error
