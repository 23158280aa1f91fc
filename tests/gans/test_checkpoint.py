"""Checkpoints that were damaged or changed: refused in one line, or as good as they were."""

import copy
import math
import os
import random
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from datamodules import InputError
from ganaug import load
from ganaug.cli import main
from ganaug.gans.checkpoint import read_checkpoint, serialised

QUIET = (
    "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false",
    "--trainer.limit_val_batches=0", "--trainer.logger=false", "--previews.every_n_steps=0",
)  # fmt: skip
SMALL = {
    "DCGAN": ["--model=DCGAN", "--model.width=4", "--model.latent_dim=4", "--data=Digits", "--data.per_class=4"],
    "SeqGAN": [
        "--model=SeqGAN", "--model.embedding=4", "--model.hidden=4", "--model.d_embedding=4", "--model.filters={2: 3}",
        "--model.mle_steps=1", "--model.discriminator_steps=1", "--model.rollouts=1", "--data=Grammar",
        "--data.sentences=200", "--data.per_class=4",
    ],
    "TimeGAN": [
        "--model=TimeGAN", "--model.hidden=4", "--model.layers=2", "--model.autoencoder_steps=1",
        "--model.supervisor_steps=1", "--data=Signals", "--data.series=140", "--data.length=8", "--data.per_class=4",
    ],
}  # fmt: skip
STOP, END = 4, 6
WRONG = (
    None, True, False, -1, 0, 1, 3, 2**40, 10**30, 0.5, -0.5, math.nan, math.inf, 1e30, "", "text", [], {}, [1],
    {"a": 1}, (), ("a", "a"), [[1]], torch.tensor(1.0), torch.tensor([1, 2]), torch.full((2, 2), math.nan),
)  # fmt: skip


def fit(kind: str, root: Path, steps: int, *more: str) -> Path:
    """Train, and say where the checkpoint is."""
    main(["fit", *SMALL[kind], *QUIET, f"--trainer.default_root_dir={root}", f"--trainer.max_steps={steps}", *more,
          "--data.batch_size=4", "--last.every_n_steps=0"])  # fmt: skip
    return root / "checkpoints" / "last.ckpt"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Of each kind a checkpoint, and what comes of it when all is well."""
    found = {}
    for kind in SMALL:
        root = tmp_path_factory.mktemp(kind)
        path = fit(kind, root / "whole", STOP)
        end = torch.load(fit(kind, root / "on", END, f"--ckpt_path={path}"), weights_only=True)["state_dict"]
        content = torch.load(path, weights_only=True)
        found[kind] = {
            "path": path,
            "bytes": path.read_bytes(),
            "content": content,
            "end": end,
            "samples": samples(path),
        }
    return found


def samples(path: Path) -> dict[str, torch.Tensor]:
    model = load(path)
    return model.sample(model.latent(torch.arange(6), 1), torch.arange(6) % model.schema.num_classes)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor):
        return isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


# ---- what may happen to a file ---------------------------------------------------------------------------------------


def flipped(made: dict[str, Any], rng: random.Random) -> bytes:
    """A few bits, or a few bytes in a row."""
    content = bytearray(made["bytes"])
    if rng.random() < 0.7:
        for _ in range(rng.choice([1, 1, 2, 8])):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    else:
        start = rng.randrange(len(content))
        content[start : start + 64] = rng.randbytes(len(content[start : start + 64]))
    return bytes(content)


def cut(made: dict[str, Any], rng: random.Random) -> bytes:
    """The end, the beginning, or a piece out of the middle."""
    content = made["bytes"]
    a, b = sorted(rng.randrange(len(content)) for _ in range(2))
    return rng.choice([content[:a], content[a + 1 :], content[:a] + content[b + 1 :]])


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Everything in a checkpoint, by the way to it."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*way, key)
        yield from places(item, (*way, key))


def another(value: Any, rng: random.Random) -> Any:
    """Something else in the place of a value, of the same kind or not."""
    if isinstance(value, torch.Tensor) and rng.random() < 0.8:
        change = rng.choice(["nan", "shape", "dtype", "smaller", "negative"])
        if change == "nan" and value.is_floating_point() and value.numel():
            value = value.clone()
            value.view(-1)[rng.randrange(value.numel())] = rng.choice([math.nan, math.inf])
            return value
        if change == "dtype":
            return value.to(rng.choice([torch.int32, torch.float64, torch.complex64]))
        if change == "smaller" and value.ndim:
            return value[:-1].clone()
        if change == "negative" and not value.ndim:
            return torch.tensor(-3.0)
        return torch.zeros(*value.shape, 2)
    return rng.choice(WRONG)


def changed(made: dict[str, Any], rng: random.Random) -> tuple[bytes, tuple[Any, ...]]:
    """One entry gone or another one, written anew, so that all checksums are right; and the way to it."""
    content = copy.deepcopy(made["content"])
    part = rng.choice(["schema", "hyper_parameters", "state_dict", "optimizer_states", "loops", "ganaug", "all"])
    whole = {"schema": content["ganaug"]["schema"], "all": content}.get(part) or content[part]
    start = {"schema": ("ganaug", "schema"), "all": ()}.get(part, (part,))
    shallow = [way for way in places(whole, start) if rng.random() < 1 / len(way)]
    way = rng.choice(shallow)
    holder = content
    for key in way[:-1]:
        holder = holder[key]
    if rng.random() < 0.3:
        del holder[way[-1]]
    else:
        holder[way[-1]] = another(holder[way[-1]], rng)
    return bytes(serialised(content)), way


# ---- what must not come of it ----------------------------------------------------------------------------------------


def refused(call: Callable[[], Any], capsys: pytest.CaptureFixture[str]) -> bool:
    """Whether it ends in one line, by an InputError or by the command line; anything else is raised."""
    end = None
    try:
        call()
    except (InputError, SystemExit) as error:
        end = error
    if isinstance(end, SystemExit):
        assert end.code == 2
    lines = str(end) if isinstance(end, InputError) else capsys.readouterr().err
    assert len([line for line in lines.splitlines() if isinstance(end, InputError) or "error:" in line]) == bool(end)
    return end is not None


def harmless(way: tuple[Any, ...], change: str) -> bool:
    """What says nothing of the networks: names of classes and units are as good as any, and mean what they say."""
    return change == "changed" and way[:2] == ("ganaug", "schema")


def check(kind: str, change: str, seed: int, made: dict[str, Any], folder: Path, capsys: Any, ways: str) -> str:
    """Damage a checkpoint and use it, in every way where ways is ``all``; what happened, in a word."""
    rng = random.Random(seed)
    way: tuple[Any, ...] = ()
    if change == "changed":
        content, way = changed(made, rng)
    else:
        content = {"flipped": flipped, "cut": cut}[change](made, rng)
    path = folder / f"{seed}.ckpt"
    path.write_bytes(content)
    found: dict[str, Any] = {}
    unread = refused(lambda: found.update(samples=samples(path)), capsys)
    if not unread:
        if change != "changed":
            assert same(read_checkpoint(path), made["content"])
        assert harmless(way, change) or same(found["samples"], made["samples"]), way
    if ways == "all":
        out = f"--out={folder / f'out{seed}'}"
        quick = ["--accelerator=cpu", "--progress=false"]
        drawn = lambda: main(["generate", f"--ckpt={path}", out, "--n=4", *quick])  # noqa: E731
        data = [part for part in SMALL[kind] if part.startswith("--data")]
        scores = ["--n=8", "--cas=false", "--lm=false", "--repeats=0", "--classifier_steps=1"]
        scored = lambda: main(["evaluate", *data, f"--ckpt={path}", f"{out}.json", *quick, *scores])  # noqa: E731
        assert refused(drawn, capsys) >= unread
        assert refused(scored, capsys) >= unread
    if ways == "load":
        return "refused" if unread else "loaded"
    resumed = refused(lambda: found.update(end=fit(kind, folder / f"fit{seed}", END, f"--ckpt_path={path}")), capsys)
    if not resumed:  # with the run's own options, whatever had become of those in the checkpoint
        assert same(torch.load(found["end"], weights_only=True)["state_dict"], made["end"]), way
    return "refused" if unread else "refused by fit" if resumed else "loaded"


@pytest.mark.parametrize("kind", SMALL)
def test_damaged_checkpoints(kind: str, made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(20):
        ways = "all" if seed == 3 else "fit" if seed % 5 == 0 else "load"
        check(kind, ("flipped", "cut", "changed", "changed")[seed % 4], seed, made[kind], tmp_path, capsys, ways)


@pytest.mark.slow
def test_five_hundred_damaged_checkpoints(made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts: dict[tuple[str, str], int] = {}
    wrong: list[str] = []
    for seed in range(int(os.environ.get("CHECKPOINTS", "500"))):
        kind, change = list(SMALL)[seed % 3], ("flipped", "cut", "changed", "changed", "changed")[seed // 3 % 5]
        try:
            result = check(kind, change, 1000 + seed, made[kind], tmp_path, capsys, "all")
        except Exception as error:
            result, reason = "wrong", traceback.format_exc()
            wrong.append(f"{seed} {kind} {change}: {error!r}\n{reason}")
        counts[change, result] = counts.get((change, result), 0) + 1
    with capsys.disabled():
        print(f"\n{counts}")
    assert not wrong, "\n".join(wrong)


def test_old_checkpoints_load(made, tmp_path: Path) -> None:
    for kind, its in made.items():
        content = copy.deepcopy(its["content"])
        del content["ganaug"]["arguments"], content["ganaug"]["unsaved"]
        (tmp_path / kind).write_bytes(serialised(content))
        assert same(samples(tmp_path / kind), its["samples"])
        fit(kind, tmp_path / "on", END, f"--ckpt_path={tmp_path / kind}")


def test_nothing_in_a_checkpoint_is_executed(made, tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "executed"),)

    content = made["DCGAN"]["content"]
    for part in ("hyper_parameters", "ganaug", "callbacks"):
        (tmp_path / "a.ckpt").write_bytes(serialised({**content, part: {**content[part], "x": Code()}}))
        with pytest.raises(InputError, match="cannot be read"):
            load(tmp_path / "a.ckpt")
    assert not (tmp_path / "executed").exists()
