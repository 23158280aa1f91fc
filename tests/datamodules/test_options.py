"""Every option of every class and verb, given what it cannot be: one line, never a traceback."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

import datamodules
from datamodules import Digits, GANDataModule, Grammar, InputError, Signals
from datamodules.options import Remembering, checked, hints
from ganaug import GAN
from ganaug.callbacks import LastCheckpoint, Previews, Scores
from ganaug.cli import main
from ganaug.parsing import KNOWN, VERBS, Parser, deepest

VALUES = ("-1", "0", ".nan", ".inf", "1e30", "1099511627776", "text", "[]", "{}", "null", "true")
MODELS = {
    "DCGAN": (lambda: Digits(), ["--model.width=4", "--model.latent_dim=4"]),
    "SeqGAN": (lambda: Grammar(sentences=100), ["--model.embedding=4", "--model.hidden=4", "--model.filters={2: 3}"]),
    "TimeGAN": (lambda: Signals(series=70, length=8), ["--model.hidden=4"]),
}
ANYTHING = ("labels", "out")  # names, of which the verbs know later whether there are such
CALLBACKS = {"previews": Previews, "scores": Scores, "last": LastCheckpoint}
COMMON = hints(GANDataModule).keys()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What the data modules that read files are given, and what makes the others small."""
    root = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    for label in "ab":
        (root / "pictures" / label).mkdir(parents=True)
        for number in range(3):
            pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "pictures" / label / f"{number}.png")
    np.savez(root / "pictures.npz", x=rng.integers(0, 256, (20, 8, 8), dtype=np.uint8), y=np.arange(20) % 2)
    np.savez(root / "series.npz", x=rng.normal(size=(20, 6, 2)), y=np.arange(20) % 2)
    rows = [json.dumps({"text": f"a b c {i}", "label": "ab"[i % 2]}) for i in range(20)]
    (root / "text.jsonl").write_text("\n".join(rows))
    steps = [f"{s},{t},{s + t},{'ab'[s % 2]}" for s in range(20) for t in range(4)]
    (root / "series.csv").write_text("\n".join(["s,t,v,label", *steps]))
    return {
        "ImageFolder": [f"--data.path={root / 'pictures'}"],
        "ImageArrays": [f"--data.path={root / 'pictures.npz'}"],
        "TextFile": [f"--data.path={root / 'text.jsonl'}"],
        "SeriesFile": [f"--data.path={root / 'series.csv'}", "--data.id_column=s", "--data.time_column=t"],
        "SeriesArrays": [f"--data.path={root / 'series.npz'}", "--data.layout=NTF"],
        "Grammar": ["--data.sentences=40"],
        "OracleText": ["--data.sentences=10", "--data.vocabulary=20"],
        "Signals": ["--data.series=14", "--data.length=8"],
        "Sines": ["--data.series=10", "--data.length=8"],
    }


def one_line(call: Callable[[], Any], capsys: pytest.CaptureFixture[str], what: str) -> bool:
    """Whether it was refused: by an InputError of one line, or as the command line does. Anything else is raised."""
    try:
        call()
    except SystemExit as end:
        text = capsys.readouterr().err
        if end.code in (0, None):
            return False
        lines = [line for line in text.splitlines() if "error:" in line]
        message = lines[0] if end.code == 2 and len(lines) == 1 and "Traceback" not in text else ""
    except Exception as error:
        reason = deepest(error)
        if not isinstance(reason, InputError):
            raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
        message = str(reason)
    else:
        return False
    assert len(message.splitlines()) == 1, what
    return True


def walk(options: list[str], call: Callable[[str], Any], capsys: Any, subject: str, known: int) -> None:
    """Give each option each value, and see that some are refused, of every option that has a type at all."""
    cases = {option: [f"--{option}={value}" for value in VALUES] for option in options}
    counts = {
        option: sum(one_line(partial(call, one), capsys, one) for one in those) for option, those in cases.items()
    }
    with capsys.disabled():
        print(f"\n{subject}: {len(options) * len(VALUES)} cases, {sum(counts.values())} refused", end="")
    assert len(options) >= known
    assert not [option for option, refused in counts.items() if not refused and option not in ANYTHING]


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    data, small = MODELS[name]
    schema = data().schema
    parser = Parser(prog="ganaug fit")
    parser.add_subclass_arguments(GAN, "model", skip={"schema"})

    def call(option: str) -> None:
        chosen = parser.parse_args([f"--model={name}", *small, option]).model
        GAN.models[name](schema=schema, **chosen.init_args.as_dict())

    options = [f"model.{option}" for option in hints(GAN.models[name]) if option != "schema"]
    walk(options, call, capsys, name, 20)


NAMES = [name for name in KNOWN["data"] if name in datamodules.__all__]


@pytest.mark.parametrize("name", NAMES)
def test_data_modules(name: str, files: dict[str, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    kind = getattr(datamodules, name)
    parser = Parser(prog="ganaug fit")
    parser.add_subclass_arguments(GANDataModule, "data")

    def call(option: str) -> None:
        made = parser.parse_args([f"--data={name}", *files.get(name, []), option])
        assert parser.instantiate_classes(made).data.schema.num_classes >= 1

    own = [option for option in hints(kind) if option not in COMMON]
    walk([f"data.{option}" for option in (*own, *(COMMON if name == "Digits" else ()))], call, capsys, name, 1)


def test_callbacks(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="ganaug fit")
    for group, kind in CALLBACKS.items():
        parser.add_lightning_class_args(kind, group)
    options = [f"{group}.{option}" for group, kind in CALLBACKS.items() for option in hints(kind)]
    walk(options, lambda option: parser.instantiate_classes(parser.parse_args([option])), capsys, "callbacks", 4)


@pytest.mark.parametrize(
    ("verb", "given"),
    [
        ("generate", ["--ckpt=missing.ckpt", "--out=out"]),
        ("evaluate", ["--data=Digits", "--ckpt=missing.ckpt"]),
        ("augment", ["--data=Digits", "--model=DCGAN", "--out=out", "--list_cells=true"]),
    ],
)
def test_verbs(verb: str, given: list[str], capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = [option for option in hints(VERBS[verb]) if option not in ("ckpt", "data", "model", "return")]
    walk(options, lambda option: main([verb, *given, option]), capsys, verb, 12)


# ---- the check itself ------------------------------------------------------------------------------------------------


@checked
def takes(
    whole: int = 1,
    number: float = 1.0,
    text: str = "",
    switch: bool = False,
    choice: Literal["a", 3] = "a",
    pair: tuple[float, float] = (0.0, 1.0),
    many: list[int] | None = None,
    named: dict[str, float] | None = None,
    ends: Literal["all"] | dict[str, tuple[float, float]] | None = None,
    path: Path | None = None,
) -> Any:
    return locals()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"whole": True}, "whole must be a whole number, not True"),
        ({"whole": 1.0}, "whole must be a whole number, not 1.0"),
        ({"number": float("nan")}, "number must be a number, not nan"),
        ({"number": 10**400}, "number must be a number, not 1000"),
        ({"number": np.float32("inf")}, "number must be a number, not inf"),
        ({"text": 3}, "text must be text, not 3"),
        ({"switch": 1}, "switch must be true or false, not 1"),
        ({"choice": "b"}, "choice must be a or 3, not 'b'"),
        ({"choice": 3.0}, "choice must be a or 3, not 3.0"),
        ({"pair": [1.0]}, r"pair must be a list of 2: a number, a number, not \[1.0\]"),
        ({"many": "12"}, "many must be a list, each a whole number or null, not '12'"),
        ({"many": [1, "2"]}, r"many must be a list, each a whole number or null, not \[1, '2'\]"),
        ({"named": {"a": None}}, "named must be a mapping of text to a number or null, not {'a': None}"),
        ({"ends": 3}, r"ends must be all or a mapping of text to \[a number, a number\] or null, not 3"),
        ({"ends": {"a": [1]}}, r"ends must be all or a mapping of text to \[a number, a number\] or null, not {'a'"),
        ({"path": 3}, "path must be a path or null, not 3"),
        ({"text": object()}, "text must be text, not an object"),
    ],
)
def test_what_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        takes(**given)


def test_numbers_of_numpys_become_plain_ones() -> None:
    given = {"whole": np.int64(3), "number": np.float32(0.5), "many": np.arange(3), "named": {np.str_("a"): np.int8(1)}}
    found = takes(**given, switch=np.bool_(True), pair=[1, np.float64(2)])
    assert [type(found[name]) for name in ("whole", "number", "many", "switch")] == [int, float, list, bool]
    assert (found["many"], found["named"], found["pair"]) == ([0, 1, 2], {"a": 1}, [1, 2.0])
    assert type(found["pair"][1]) is float


def test_a_class_is_checked_before_it_is_made_and_knows_its_arguments() -> None:
    made = []

    class Base(metaclass=Remembering):
        def __init__(self, width: int, depth: int = 1) -> None:
            made.append(width)

    class Derived(Base):
        def __init__(self, name: str, **options: Any) -> None:
            super().__init__(**options)

    with pytest.raises(InputError, match="width must be a whole number, not 'wide'"):
        Derived("a", width="wide")
    assert made == []
    assert Derived("a", width=2)._arguments == {"name": "a", "width": 2}
    with pytest.raises(TypeError, match="depht"):
        Derived("a", width=2, depht=3)
