"""Beginning from another model's weights."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from datamodules import Digits, GANDataModule, InputError, Signals, TextFile
from datamodules.rows import Table, stored_rows
from ganaug import DCGAN, GAN, R3GAN, SeqGAN, TimeGAN
from ganaug.classifiers.training import fit_features
from ganaug.commands.evaluate import evaluate
from ganaug.gans.finetune import begin_from
from tests.gan_contract import trainer


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


def test_other_sizes_for_the_networks_are_named(tmp_path: Path) -> None:
    make = partial(DCGAN, width=4, latent_dim=4)
    square, oblong = (Digits(image_size=size, per_class=20) for size in (16, (16, 32)))
    hint = "its networks see pictures at 16, these data are seen at [16,32]: set --data.image_size 16"
    _, after, said = begun(make, square, oblong, tmp_path)
    assert said.endswith(f"; {hint}, for all that has this size")
    with pytest.raises(InputError) as resumed:
        trainer(4).fit(after, oblong, ckpt_path=tmp_path / "a.ckpt", weights_only=False)
    assert f"the data's image_size ({hint})" in str(resumed.value)
    assert str(resumed.value).endswith("resume with the same options and data")
    with pytest.raises(InputError) as evaluated:
        evaluate(oblong, ckpt=tmp_path / "a.ckpt", out=None, n=4)
    assert str(evaluated.value) == f"the checkpoint was trained on such data, but {hint}"
    _, _, said = begun(make, oblong, oblong, tmp_path)
    assert "image_size" not in said


def test_classes_are_matched_by_name_when_a_run_begins_from_another(tmp_path: Path) -> None:
    make = partial(DCGAN, width=4, latent_dim=4)
    before, after, said = begun(make, Some((2, 0, 5)), Some((5, 7, 2, 0)), tmp_path)
    assert "the classes matched by name (1 new: 7)" in said
    assert "not taken" not in said
    for name, weight in after.state_dict().items():
        old = before.state_dict()[name]
        if weight.shape == old.shape:
            assert torch.equal(weight, old), name
        else:
            assert torch.equal(weight[[0, 2, 3]], old[[2, 0, 1]]), name
            torch.testing.assert_close(weight[1], old.mean(0), msg=lambda text, name=name: f"{name}: {text}")
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
        torch.testing.assert_close(mine[:, -2], theirs[:, -2:].mean(1))


@pytest.mark.parametrize(
    ("make", "data"),
    [
        (partial(R3GAN, widths=[8], latent_dim=8), lambda **options: Digits(per_class=8, **options)),
        (
            partial(TimeGAN, hidden=4, layers=2, autoencoder_steps=1, supervisor_steps=1),
            lambda **_: Signals(kinds=["ar", "car"], series=40, length=8, batch_size=4),
        ),
    ],
)
def test_a_model_of_rows_without_labels_is_begun_from(make: Callable[..., GAN], data: Any, tmp_path: Path) -> None:
    rows = data()
    plain, told, said = begun(lambda schema, **o: make(replace(schema, classes=()), **o), rows, rows, tmp_path)
    told = make(rows.schema, seed=1)
    fresh = {name: weight.clone() for name, weight in told.state_dict().items()}
    said = begin_from(told, tmp_path / "a.ckpt")
    front = 0
    for name, weight in plain.state_dict().items():
        mine = told.state_dict()[name]
        if name.partition(".")[0] in told.of_data:
            continue
        if mine.shape == weight.shape:
            assert torch.equal(mine, weight), name
            continue
        (d,) = (d for d, (a, b) in enumerate(zip(mine.shape, weight.shape, strict=True)) if a != b)
        size = weight.shape[d]
        assert torch.equal(mine.narrow(d, 0, size), weight), name
        rest = mine.shape[d] - size
        assert torch.equal(mine.narrow(d, size, rest), fresh[name].narrow(d, size, rest)), name
        front += 1
    assert front
    assert f"{front} in part" in said
    trainer(2).fit(told, rows)


def test_a_model_that_was_told_no_classes_of_rows_with_labels_is_begun_from(tmp_path: Path) -> None:
    rows = Digits(per_class=8)
    make = partial(R3GAN, widths=[8], latent_dim=8)
    plain, _, _ = begun(lambda schema, **o: make(schema, conditional=False, **o), rows, rows, tmp_path)
    told = make(rows.schema, seed=1)
    assert "in part" in begin_from(told, tmp_path / "a.ckpt")
    assert torch.equal(told.generator.project.weight[:, :8], plain.generator.project.weight)


@pytest.mark.slow
def test_a_new_class_is_learnt_sooner_from_a_model_of_the_others(tmp_path: Path, capsys: Any) -> None:
    everything, others_ = Digits(), Some(tuple(range(9)))
    everything.setup()
    judge = fit_features(everything.schema, stored_rows(everything.schema, everything.train), 0, steps=600)
    first = DCGAN(others_.schema, width=32)
    run = trainer(3000)
    run.fit(first, others_)
    run.save_checkpoint(tmp_path / "nine.ckpt")

    def course(begin: bool) -> list[float]:
        model, found = DCGAN(everything.schema, width=32, seed=1), []
        if begin:
            begin_from(model, tmp_path / "nine.ckpt")

        class Watch(Callback):
            def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
                if trainer.global_step % 100 == 0:
                    y = torch.full((200,), 9)
                    batch = model.sample(model.latent(torch.arange(200), 5), y)
                    found.append(float((judge.predict(model.schema.stored(batch)) == 9).float().mean()))

        trainer(2500, Watch()).fit(model, everything)
        return found

    tuned, scratch = course(True), course(False)
    with capsys.disabled():
        print("\nclass fidelity of 9 every 100 steps\n tuned  ", tuned, "\n scratch", scratch)
    reach = lambda course: next((k for k, share in enumerate(course) if share >= 0.7), len(course))  # noqa: E731
    assert reach(tuned) < reach(scratch) / 2


def test_an_adaptive_probability_is_not_taken_along(tmp_path: Path) -> None:
    data = Some((0, 1))
    make = partial(DCGAN, width=4, latent_dim=4, augment="translation")
    trainer(1).fit(model := make(data.schema, augment_probability=0.8), data)
    model.trainer.save_checkpoint(tmp_path / "a.ckpt")
    adaptive = make(data.schema, augment_probability="ada")
    begin_from(adaptive, tmp_path / "a.ckpt")
    assert float(adaptive.augment_probability) == 0
