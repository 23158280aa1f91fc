"""Checkpoints that were damaged or changed: refused in one line, or as good as they were."""

import copy
import json
import math
import os
import pickle
import random
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from gan_contract import trainer
from lightning.pytorch import Callback

from datamodules import Digits, GANDataModule, InputError, Signals, TextFile
from datamodules.base import Table
from datamodules.rows import stored_rows
from datamodules.schema import ImageSchema
from ganaug import DCGAN, GAN, SeqGAN, SyntheticDataset, TimeGAN, load
from ganaug.checkpoint import read_checkpoint, serialised
from ganaug.cli import main
from ganaug.commands.augment import others
from ganaug.dcgan import PRESETS
from ganaug.downstream import fit_features
from ganaug.finetune import begin_from
from ganaug.outside import import_modules

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


# ---- classes of somebody else's --------------------------------------------------------------------------------------


class Sharper(DCGAN):
    """Takes whatever DCGAN does, and says one of its options itself."""

    def __init__(self, schema: ImageSchema, gain: float = 1.0, **kwargs: Any) -> None:
        super().__init__(schema, n_critic=2, **kwargs)
        self.gain = gain


class Fixed(DCGAN):
    """Takes a list of its own, one of which means something else than DCGAN's."""

    def __init__(self, schema: ImageSchema, gain: float = 1.0, width: int = 4, lr_g: float | None = None) -> None:
        super().__init__(schema, width=2 * width, latent_dim=4, lr_g=lr_g)
        self.gain = gain


class Passing(DCGAN):
    """Passes everything on."""

    def __init__(self, *args: Any, gain: float = 1.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gain = gain


class Asking(DCGAN):
    """Cannot be built without values of tensors, and holds one that no checkpoint has."""

    def __init__(self, schema: ImageSchema, gain: float = 1.0, **kwargs: Any) -> None:
        super().__init__(schema, **kwargs)
        self.gain = float(torch.tensor(gain).item())
        self.register_buffer("twice", torch.tensor(2 * gain), persistent=False)


def saved(model: GAN, path: Path, monkeypatch: pytest.MonkeyPatch, steps: int = 1) -> Path:
    data = Digits(per_class=4, batch_size=4)
    run = trainer(steps, logger=False)
    run.fit(model, data)
    run.save_checkpoint(path)
    for name in ("lr_g", "width"):  # of another version
        monkeypatch.setitem(PRESETS["scarce"], name, PRESETS["scarce"][name] * 2)
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda schema: Sharper(schema, gain=0.0, width=4),
        lambda schema: Fixed(schema, 0.0),
        lambda schema: Passing(schema, "scarce", 4, gain=0.0),
        lambda schema: Asking(schema, gain=0.0, width=4),
    ],
    ids=["kwargs", "fixed", "args", "asking"],
)
def test_a_subclass_keeps_its_options(make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(Digits().schema)
    path = saved(model, tmp_path / "a.ckpt", monkeypatch)
    again = load(path)
    assert type(again) is type(model)
    assert again.gain == 0.0
    assert dict(again.hparams) == dict(model.hparams)
    assert same(dict(again.state_dict()), dict(model.state_dict()))
    twin = pickle.loads(pickle.dumps(SyntheticDataset(again, per_class=1))).model
    assert (twin.gain, dict(twin.hparams)) == (0.0, dict(model.hparams))
    if isinstance(model, Asking):
        assert again.twice == 0


def test_a_subclass_is_resumed_with_its_own_options_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Digits(per_class=4, batch_size=4)
    path = saved(Sharper(data.schema, gain=0.0, width=4, lr_g=2e-4), tmp_path / "a.ckpt", monkeypatch)
    with pytest.raises(InputError, match=r"gain 0\.0 there, 1\.0 here"):
        trainer(2).fit(Sharper(data.schema, width=4, lr_g=2e-4), data, ckpt_path=path)
    trainer(2).fit(Sharper(data.schema, gain=0.0, width=4, lr_g=2e-4), data, ckpt_path=path)


def test_options_that_have_come_to_mean_something_else_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(Fixed(Digits().schema), tmp_path / "a.ckpt", monkeypatch)
    monkeypatch.setattr(Fixed, "__init__", lambda self, schema, gain=1.0, width=4, lr_g=None: DCGAN.__init__(
        self, schema, width=2 * width, latent_dim=4, lr_g=1e-3))  # fmt: skip
    with pytest.raises(InputError, match=r"lr_g was 0\.0002 and would now become 0\.001"):
        load(path)


def test_old_checkpoints_load(made, tmp_path: Path) -> None:
    for kind, its in made.items():
        content = copy.deepcopy(its["content"])
        del content["ganaug"]["arguments"], content["ganaug"]["unsaved"]
        (tmp_path / kind).write_bytes(serialised(content))
        assert same(samples(tmp_path / kind), its["samples"])
        fit(kind, tmp_path / "on", END, f"--ckpt_path={tmp_path / kind}")


OUTSIDE = """
from typing import Any
from ganaug import DCGAN

class Outsider(DCGAN):
    def __init__(self, *args: Any, gain: float = 1.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gain = gain
"""


def test_classes_of_a_module_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / "from_outside.py").write_text(OUTSIDE)
    monkeypatch.setitem(SMALL, "Outsider", ["--model=Outsider", "--model.gain=0", *SMALL["DCGAN"][1:]])
    ckpt = fit("Outsider", tmp_path / "run", 1, "--import", "from_outside")
    del GAN.models["Outsider"], sys.modules["from_outside"]
    generate = ["generate", f"--ckpt={ckpt}", "--out=out", "--n=2", "--accelerator=cpu", "--progress=false"]

    def said(*arguments: str) -> str:
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        assert end.value.code == 2
        return next(line for line in capsys.readouterr().err.splitlines() if "error:" in line)

    assert "holds a Outsider" in said(*generate)
    assert "--import nowhere: No module named 'nowhere'" in said(*generate, "--import=nowhere")
    assert "not the name of a module" in said("--import", "from_outside.py", *generate)
    assert "--import: name a module" in said(*generate, "--import")
    main([*generate, "--import=from_outside"])
    assert (tmp_path / "out" / "manifest.json").is_file()
    assert load(ckpt).gain == 0
    del GAN.models["Outsider"]
    monkeypatch.setattr("ganaug.outside.IMPORTED", [])


@pytest.mark.slow
def test_processes_know_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / "also_outside.py").write_text(OUTSIDE)
    import_modules(["also_outside"])
    with others(1, 1, []) as pool:
        assert pool.submit(eval, "'Outsider' in __import__('ganaug').GAN.models").result()
    del GAN.models["Outsider"]


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


# ---- going on with other options, or from another model --------------------------------------------------------------


def groups(path: Path) -> list[dict[str, Any]]:
    return [
        group for state in torch.load(path, weights_only=True)["optimizer_states"] for group in state["param_groups"]
    ]


def test_options_may_change_on_resume_where_that_is_asked_for(
    made, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    whole = f"--ckpt_path={made['DCGAN']['path']}"
    other = ["--model.lr_g=1e-5", "--model.betas=[0.1, 0.9]", "--model.ema_decay=0.5", "--model.clip=1e-9"]

    def said(*arguments: str) -> str:
        with pytest.raises(SystemExit) as end:
            fit("DCGAN", tmp_path / "refused", END, whole, *arguments)
        assert end.value.code == 2
        return next(line for line in capsys.readouterr().err.splitlines() if "error:" in line)

    assert "lr_g 0.0002 there, 1e-05 here" in said(*other, "--allow_changes=[betas,ema_decay,clip]")
    assert "no option lr_x" in said("--allow_changes=[lr_x]")
    assert "with width changed its weights do not fit" in said("--model.width=8", "--allow_changes=[width]")
    path = fit("DCGAN", tmp_path / "changed", END, whole, *other, "--allow_changes=[lr_g,betas,ema_decay,clip]")
    line = next(line for line in caplog.messages if "changed on resume" in line)
    assert "lr_g 0.0002 -> 1e-05" in line
    assert "clip None -> 1e-09" in line
    assert [(group["lr"], tuple(group["betas"])) for group in groups(path)] == [(1e-5, (0.1, 0.9)), (2e-4, (0.1, 0.9))]
    before, after = made["DCGAN"]["content"]["state_dict"], torch.load(path, weights_only=True)["state_dict"]
    name = "generator.project.weight"
    moved = (after[name] - before[name]).abs().max()
    assert 0 < moved < (made["DCGAN"]["end"][name] - before[name]).abs().max() / 5
    assert load(path).hp.ema_decay == 0.5
    fit("DCGAN", tmp_path / "on", END + 1, f"--ckpt_path={path}", *other)  # it is what the new run was made with


def test_rates_that_fall_take_up_a_change(made, tmp_path: Path) -> None:
    path = fit("TimeGAN", tmp_path, END, f"--ckpt_path={made['TimeGAN']['path']}", "--model.lr_g=1e-5",
               "--model.decay_steps=0", "--allow_changes=[lr_g,decay_steps]")  # fmt: skip
    rates = [group["lr"] for group in groups(path)]
    assert rates[3] == 1e-5
    assert rates[0] == rates[1] == 3e-3


def test_a_run_that_is_to_end_before_its_checkpoint(made, tmp_path: Path, capsys: Any, caplog: Any) -> None:
    caplog.set_level("INFO")
    for kind, its in made.items():
        with pytest.raises(SystemExit) as end:
            fit(kind, tmp_path / kind, STOP - 1, f"--ckpt_path={its['path']}")
        assert end.value.code == 2
        assert f"it is at step {STOP}, and the run is to end at step {STOP - 1}" in capsys.readouterr().err
        caplog.clear()
        fit(kind, tmp_path / kind, STOP, f"--ckpt_path={its['path']}")
        assert f"the run is complete: the checkpoint is at step {STOP} of {STOP}" in caplog.text


class Some(Digits):
    """Digits of some classes alone, in an order of their own."""

    def __init__(self, digits: tuple[int, ...] = (0, 1, 2), **options: Any) -> None:
        super().__init__(**options)
        self.digits = digits
        self.schema = replace(self.schema, classes=tuple(map(str, digits)))

    def load(self) -> tuple[Table, None]:
        table, _ = super().load()
        y = table.fields["y"]
        table = table.subset(torch.cat([torch.nonzero(y == digit).flatten() for digit in self.digits]).numpy())
        table.fields["y"] = torch.tensor([self.digits.index(digit) for digit in table.fields["y"].tolist()])
        return table, None


def begun(make: Callable[..., GAN], old: GANDataModule, new: GANDataModule, folder: Path) -> tuple[GAN, GAN, str]:
    """A model of the old data, one of the new that begins from it, and what was said."""
    run = trainer(3, logger=False)
    before = make(old.schema)
    run.fit(before, old)
    run.save_checkpoint(folder / "a.ckpt")
    after = make(new.schema, seed=1)
    said = begin_from(after, folder / "a.ckpt")
    assert len(said.splitlines()) == 1
    return before, after, said


def test_classes_are_matched_by_name_when_a_run_begins_from_another(tmp_path: Path) -> None:
    make = partial(DCGAN, width=4, latent_dim=4)
    before, after, said = begun(make, Some((2, 0, 5)), Some((5, 7, 2, 0)), tmp_path)
    assert "the classes matched by name (1 new: 7)" in said
    assert "not taken" not in said
    fresh = make(after.schema, seed=1)
    for name, weight in after.state_dict().items():
        old, drawn = before.state_dict()[name], fresh.state_dict()[name]
        if weight.shape == old.shape:
            assert torch.equal(weight, old), name
        else:
            assert torch.equal(weight[[0, 2, 3]], old[[2, 0, 1]]), name
            assert torch.equal(weight[1], drawn[1]), name
    trainer(2).fit(after, Some((5, 7, 2, 0)))
    wider = DCGAN(after.schema, width=8, latent_dim=8)
    with pytest.raises(InputError, match="holds a DCGAN, this run trains a TimeGAN"):
        begin_from(TimeGAN(Signals(series=70, length=8).schema), tmp_path / "a.ckpt")
    assert "not taken" in begin_from(wider, tmp_path / "a.ckpt")


def test_words_are_matched_by_entry(tmp_path: Path) -> None:
    for name, words in (("a", "red green blue"), ("b", "blue black red")):
        rows = [json.dumps({"text": f"{w} {v}", "label": f"{w}"}) for w in words.split() for v in words.split()] * 4
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    old, new = (TextFile(tmp_path / f"{name}.jsonl", batch_size=4) for name in "ab")
    options = {"embedding": 4, "hidden": 4, "filters": {1: 3}, "mle_steps": 1, "discriminator_steps": 1, "rollouts": 1}
    before, after, said = begun(partial(SeqGAN, **options), old, new, tmp_path)
    assert "the words matched by name (1 new: black)" in said
    assert "the classes matched by name (1 new: black)" in said
    for name in ("generator.embedding.weight", "generator.head.bias", "ema.network.head.weight"):
        for here, word in enumerate(new.schema.vocabulary):
            if word in old.schema.vocabulary:
                there = before.state_dict()[name][old.schema.vocabulary.index(word)]
                assert torch.equal(after.state_dict()[name][here], there), (name, word)


def test_what_a_series_is_told_of_its_class_is_matched_by_name(tmp_path: Path) -> None:
    options = {"hidden": 4, "layers": 2, "skip": True, "autoencoder_steps": 1, "supervisor_steps": 1}
    old, new = (
        Signals(kinds=kinds, series=40, length=8, batch_size=4) for kinds in (["ar", "car"], ["sinusoid", "car"])
    )
    before, after, said = begun(partial(TimeGAN, **options), old, new, tmp_path)
    assert "(1 new: sinusoid)" in said
    for name in ("generator.rnn.weight_ih_l0", "generator.dense.weight"):
        mine, theirs = after.state_dict()[name], before.state_dict()[name]
        assert torch.equal(mine[:, :-2], theirs[:, :-2])
        assert torch.equal(mine[:, -1], theirs[:, -1])  # car
        assert not torch.equal(mine[:, -2], theirs[:, -2])


@pytest.mark.slow
def test_a_new_class_is_learnt_sooner_from_a_model_of_the_others(tmp_path: Path, capsys: Any) -> None:
    everything, others_ = Digits(batch_size=32), Some(tuple(range(9)), batch_size=32)
    everything.setup()
    judge = fit_features(everything.schema, stored_rows(everything.schema, everything.train), 0, steps=600)
    first = DCGAN(others_.schema, width=16)
    run = trainer(2000)
    run.fit(first, others_)
    run.save_checkpoint(tmp_path / "nine.ckpt")

    def course(begin: bool) -> list[float]:
        model, found = DCGAN(everything.schema, width=16, seed=1), []
        if begin:
            begin_from(model, tmp_path / "nine.ckpt")

        class Watch(Callback):
            def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
                if trainer.global_step % 100 == 0:
                    y = torch.full((200,), 9)
                    batch = model.sample(model.latent(torch.arange(200), 5), y)
                    found.append(float((judge.predict(model.schema.stored(batch)) == 9).float().mean()))

        trainer(1500, Watch()).fit(model, everything)
        return found

    tuned, scratch = course(True), course(False)
    with capsys.disabled():
        print("\nclass fidelity of 9 every 100 steps\n tuned  ", tuned, "\n scratch", scratch)
    reach = lambda course: next(k for k, share in enumerate(course) if share >= 0.7)  # noqa: E731
    assert reach(tuned) < reach(scratch)
