"""Data for GANs: images, text and time series as Lightning data modules, and what writes samples that they can read."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datamodules.public import *  # noqa: F403


def __getattr__(name: str) -> Any:
    """What is public, loaded when first asked for: the command line's help should not wait for torch."""
    if (name.startswith("__") and name != "__all__") or name == "public":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.public"), name)


def __dir__() -> list[str]:
    """The public names."""
    return list(import_module(f"{__name__}.public").__all__)
