"""YAML whose names reach the program as they were typed: 010 is no 8, no is not false, 1.0 is not 1, 1:30 is not 90.

YAML gives every word a type before anyone knows what it is for. Here a word keeps its text until the option that it is
for is known: one that takes text gets the text, any other what YAML reads.
jsonargparse goes by the types that YAML gives. Its loader is replaced, and its ``adapt_typehints``, which is no public
part of it, wrapped; a test says what must hold when it changes.
"""

from __future__ import annotations

import collections.abc as abc
import re
from typing import Any, get_args, get_origin

import yaml
from jsonargparse import Namespace, _typehints, get_loader, set_loader

from datamodules.errors import InputError

standard = get_loader("yaml")


class Word(str):
    """What YAML reads as a number, true, false or null, by its text."""

    @property
    def value(self) -> Any:
        """What YAML reads."""
        return standard(str(self))


class Reader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Every key is the text that was typed, every other word a :class:`Word`."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping; null as a value of it stays null.

        Raises:
            InputError: a key is there twice, of which YAML would forget the first, or is one with its value.
        """
        seen = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.tag != "tag:yaml.org,2002:str":
                    key.tag = WORD
                name, colon, own = key.value.partition(":")
                if colon and value.tag == "tag:yaml.org,2002:null" and not value.value:
                    raise InputError(f"{{{key.value}}} needs a space behind the colon: {{{name}: {own}}}")
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise InputError(f"{key.value!r} is there twice, again in line {line}: keep one")
                seen.add(key.value)
            if value.tag == "tag:yaml.org,2002:null":
                value.tag = NULL
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]


WORD, NULL = "!word", "!null"
# jsonargparse reads 1e-3 as a number, PyYAML as text.
Reader.add_implicit_resolver(WORD, re.compile(r"[-+]?[0-9.][0-9_.]*[eE][-+]?[0-9]+$"), list("-+.0123456789"))
Reader.add_constructor(NULL, yaml.constructor.SafeConstructor.construct_yaml_null)
for kind in (WORD, *(f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null"))):
    Reader.add_constructor(kind, lambda reader, node: Word(node.value))
Reader.add_constructor("tag:yaml.org,2002:timestamp", yaml.constructor.SafeConstructor.construct_yaml_str)
yaml.SafeDumper.add_representer(Word, lambda dumper, word: dumper.represent_data(word.value))


def load(text: str) -> Any:
    """What YAML reads, with words as they were typed."""
    try:
        found = standard(text)  # jsonargparse's own, which also tells what is no YAML at all, such as {a, b}
    except TypeError:  # of a single key that is no text, without a value
        found = {}
    if isinstance(found, dict | list):
        return yaml.load(text, Loader=Reader)
    return "~" if found is None and text.strip() == "~" else found


def read_as_typed() -> None:
    """Make jsonargparse read so, on the command line as in files."""
    set_loader("yaml", load, (yaml.YAMLError,))
    adapt: Any = _typehints.adapt_typehints
    if getattr(adapt, "typed", False):
        return

    def adapt_typed(val: Any, typehint: Any, *args: Any, **kwargs: Any) -> Any:
        """With text, of which jsonargparse makes what the hint says, as it does of the command line's."""
        if typehint is Any:
            val = settled(val)
        elif isinstance(val, Word):
            val = str(val)
        elif isinstance(val, dict) and takes_names(typehint):
            val = {str(key) if isinstance(key, Word) else key: item for key, item in val.items()}
        return adapt(val, typehint, *args, **kwargs)

    adapt_typed.typed = True  # type: ignore[attr-defined]
    _typehints.adapt_typehints = adapt_typed


def takes_names(hint: Any) -> bool:
    """Whether a hint is that of a mapping whose keys are text."""
    origin, inner = get_origin(hint), get_args(hint)
    return isinstance(origin, type) and issubclass(origin, abc.Mapping) and str in (inner[0], *get_args(inner[0]))


def settled(value: Any) -> Any:
    """Options in which the words that no hint wanted as text are what YAML reads."""
    if isinstance(value, Word):
        return value.value
    if isinstance(value, Namespace):
        for name, item in vars(value).items():
            setattr(value, name, settled(item))
    elif isinstance(value, dict):
        return {settled(name): settled(item) for name, item in value.items()}
    elif type(value) in (list, tuple):
        return type(value)(map(settled, value))
    return value
