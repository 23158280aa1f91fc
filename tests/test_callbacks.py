"""Callbacks in a run: what TensorBoard gets, the best checkpoint, and two processes."""

import html
import signal
import string
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugin_util import markdown_to_safe_html
from torch import nn

from datamodules import GANDataModule, InputError, Table, TextSchema
from datamodules.text.schema import SPECIAL
from ganaug.callbacks import LastCheckpoint, Previews, Scores
from ganaug.cli import main
from ganaug.gans.base import GAN
from ganaug.gans.checkpoint import read_checkpoint
from ganaug.gans.loading import load
from ganaug.gans.randomness import draw_rows
from ganaug.kind import kind_of
from ganaug.loggers import markdown
from ganaug.runtime.stopping import Stopped, told
from tests.gan_contract import trainer
from tests.gans.dcgan.test_model import Squares, make


class Letters(GANDataModule):
    """Rows of three to seven letters: class 0 of the first half of the alphabet, class 1 of the second."""

    def __init__(self, rows: int = 300, labelled: bool = True, **options) -> None:
        super().__init__(**{"batch_size": 16, **options})
        self.rows = rows
        self.schema = TextSchema(
            classes=("early", "late") if labelled else (),
            vocabulary=(*SPECIAL, *string.ascii_lowercase),
            max_length=8,
            tokenizer="char",
        )

    def load(self):
        rng = torch.Generator().manual_seed(0)
        y = torch.arange(self.rows) % 2
        lengths = torch.randint(3, 8, (self.rows,), generator=rng).tolist()
        ids = [(2 + 13 * c + torch.randint(13, (n,), generator=rng)).tolist() for c, n in zip(y, lengths, strict=True)]
        x, length = self.schema.pad(ids)
        return Table({"x": x, "length": length, "y": y if self.schema.labelled else torch.zeros_like(y)}), None

    def template(self, sentence: str, label: str | int | None = None) -> int | None:
        """The length of a sentence of one half of the alphabet, which the class says where there is one."""
        early = [letter < "n" for letter in sentence]
        halves = {"early": [True], "late": [False], None: [True, False]}[label]
        return len(early) if early and any(all(e == half for e in early) for half in halves) else None

    def is_valid(self, sentence: str, label: str | int | None = None) -> bool:
        return self.template(sentence, label) is not None


class Unigrams(GAN):
    """Each token drawn by itself, by the frequencies of its class."""

    schema_kinds = ("text",)
    optimizer_names = ("g",)
    phases = [("likelihood", None)]

    def __init__(self, schema: TextSchema, seed: int = 0) -> None:
        super().__init__(schema, seed, None, 1)
        self.save_hyperparameters({"seed": seed})
        self.tokens = nn.Parameter(torch.zeros(schema.num_classes, len(schema.vocabulary)))

    def likelihood_step(self, batch):
        loss = self.nll(batch).mean()
        self.update(self.optimizers(), loss, self.step)
        return {"loss/g": loss}

    def nll(self, batch):
        inside = torch.arange(batch["x"].shape[1]) < batch["length"][:, None]
        each = -self.tokens.log_softmax(1)[batch["y"][:, None], batch["x"]]
        return (each * inside).sum(1) / batch["length"]

    def judged(self, batch):
        return self.nll(batch)

    def latent(self, indices, seed):
        return draw_rows(indices, seed, (self.schema.max_length,), uniform=True)

    @torch.no_grad()
    def sample(self, latent, labels):
        sums = self.tokens.softmax(1).cumsum(1)[labels]
        x = torch.searchsorted(sums, latent).clamp(max=sums.shape[1] - 1)
        length = self.schema.lengths(x)
        return {"x": x * (torch.arange(x.shape[1]) < length[:, None]), "length": length, "y": labels}

    def configure_optimizers(self):
        return [torch.optim.Adam(self.parameters(), 0.3)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 steps of two classes, everything switched on."""
    root = tmp_path_factory.mktemp("runs")
    data = Squares(rows=60, steps_per_epoch=10)
    best = ModelCheckpoint(
        root / "best", "best", monitor="score/kernel_distance", save_on_train_epoch_end=False, mode="min"
    )
    trainer(
        24,
        Previews(every_n_steps=8, per_class=3),
        Scores(steps=20),
        LastCheckpoint(every_n_steps=10),
        best,
        logger=TensorBoardLogger(root, name="run", version=0),
        limit_val_batches=1.0,
        val_check_interval=8,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        enable_checkpointing=True,
    ).fit(make(data), data)
    return root


def test_tensorboard_counts_batches_and_shows_what_it_should(run: Path) -> None:
    events = EventAccumulator(str(run / "run" / "version_0"), size_guidance={"images": 0})
    events.Reload()
    tags = events.Tags()
    assert {
        "loss/d", "loss/g", "accuracy/real", "accuracy/fake", "gradient_norm/d", "gradient_norm/g", "lr/d", "lr/g",
        "score/frechet_distance", "score/kernel_distance", "score/class_fidelity",
    } <= set(tags["scalars"])  # fmt: skip
    assert [e.step for e in events.Scalars("loss/d")] == list(range(1, 24, 2))
    assert [e.step for e in events.Images("samples")] == [7, 15, 23]  # as Lightning counts scalars
    assert [e.step for e in events.Images("real")] == [0]
    assert len(events.Scalars("score/kernel_distance")) == 3
    assert {"_hparams_/experiment", "_hparams_/session_start_info"} <= set(events.PluginTagToContent("hparams"))


def test_last_checkpoint_is_the_last_step_and_best_is_by_score(run: Path) -> None:
    assert read_checkpoint(run / "run" / "version_0" / "checkpoints" / "last.ckpt")["global_step"] == 24
    events = EventAccumulator(str(run / "run" / "version_0"))
    events.Reload()
    scores = events.Scalars("score/kernel_distance")
    best = read_checkpoint(run / "best" / "best.ckpt")
    assert best["global_step"] == min(scores, key=lambda e: e.value).step + 1
    assert load(run / "best" / "best.ckpt").schema.classes == ("left", "right")


def test_scores_do_not_change_the_training(run: Path) -> None:
    data = Squares(rows=60, steps_per_epoch=10)
    model = make(data)
    trainer(24).fit(model, data)
    last = read_checkpoint(run / "run" / "version_0" / "checkpoints" / "last.ckpt")["state_dict"]
    assert all(torch.equal(value, last[name]) for name, value in model.state_dict().items())


def test_a_longer_run_goes_on_from_a_finished_one(run: Path) -> None:
    """Past the last step, in the middle of an epoch, to the bit."""
    data = Squares(rows=60, steps_per_epoch=10)
    whole, resumed = make(data), make(data)
    trainer(33).fit(whole, data)
    data = Squares(rows=60, steps_per_epoch=10)
    trainer(33).fit(resumed, data, ckpt_path=run / "run" / "version_0" / "checkpoints" / "last.ckpt")
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


# ---- sentences ----


def watched(root: Path, data: Letters) -> EventAccumulator:
    """What TensorBoard has after 16 steps of sentences."""
    model = Unigrams(data.schema)
    trainer(
        16,
        Previews(every_n_steps=8, per_class=3),
        Scores(steps=20),
        logger=TensorBoardLogger(root, name="run", version=0),
        limit_val_batches=1.0,
        val_check_interval=8,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
    ).fit(model, data)
    with torch.no_grad():
        nll = model.nll(next(data.val.batches(1000))).mean()
    events = EventAccumulator(str(root / "run" / "version_0"), size_guidance={"tensors": 0})
    events.Reload()
    assert events.Scalars("score/nll")[-1].value == pytest.approx(float(nll), rel=1e-6)
    return events


def test_sentences_in_tensorboard(tmp_path: Path) -> None:
    events = watched(tmp_path, Letters(steps_per_epoch=8))
    names = ("frechet_distance", "kernel_distance", "class_fidelity", "nll")
    assert {f"score/{name}" for name in names} <= set(events.Tags()["scalars"])
    assert [e.step for e in events.Scalars("score/nll")] == [7, 15]
    assert [e.step for e in events.Tensors("samples/text_summary")] == [7, 15]
    (real,) = events.Tensors("real/text_summary")
    lines = real.tensor_proto.string_val[0].decode().splitlines()
    assert [line.split("|")[1].strip() for line in lines] == ["class", "---", *["early"] * 3, *["late"] * 3]
    assert all(word.split("|")[2].strip().isalpha() for word in lines[2:])


def test_sentences_without_classes(tmp_path: Path) -> None:
    tags = watched(tmp_path, Letters(labelled=False, steps_per_epoch=8)).Tags()
    assert "score/frechet_distance" in tags["scalars"]
    assert "score/class_fidelity" not in tags["scalars"]


def test_sentences_are_shown_as_they_are() -> None:
    """Nothing in them is taken for Markdown or HTML."""
    text = "a|b `c` *d* _e_ <b>f</b> &amp; # - [x](y) \\| \n| g"
    alphabet = "".join(sorted(set(text)))
    schema = TextSchema(classes=("#1|2",), vocabulary=(*SPECIAL, *alphabet), max_length=60, tokenizer="char")
    x, _ = schema.pad([[2 + alphabet.index(letter) for letter in text]])
    page = str(markdown_to_safe_html(markdown(kind_of(schema).preview(schema, {"x": x, "y": torch.tensor([0])}))))
    cells = [part.split("</td>")[0] for part in page.split("<td>")[1:]]
    assert not any("<" in cell for cell in cells)
    assert [html.unescape(cell) for cell in cells] == ["#1|2", text.replace("\n", " ")]


def test_scores_of_several_processes_are_of_all_rows() -> None:
    """Each rank's rows count alike: nothing is averaged twice."""
    rng = torch.Generator().manual_seed(0)
    ranks = [torch.rand(12, 3, generator=rng), torch.rand(12, 3, generator=rng)]
    logged: dict[str, float] = {}
    module = SimpleNamespace(
        device=torch.device("cpu"),
        conditional=True,
        nll=None,
        all_gather=lambda part: torch.stack([part, part + (1 if part.ndim == 1 and part.is_floating_point() else 0)]),
        log_dict=lambda scores, **_: logged.update(scores),
    )
    scores = Scores()
    scores._seen = [(ranks[0][:8], ranks[1][:8], torch.ones(8) > 0, torch.arange(8.0))]
    scores._seen += [(ranks[0][8:], ranks[1][8:], torch.ones(4) < 0, torch.arange(8.0, 12.0))]
    scores.on_validation_epoch_end(None, module)
    assert logged["score/nll"] == pytest.approx(6.0)
    assert logged["score/class_fidelity"] == pytest.approx(2 / 3)


def test_a_run_at_an_address_is_refused_before_it_begins() -> None:
    data = Squares(rows=30)
    run = trainer(2, LastCheckpoint(), default_root_dir="memory://somewhere", enable_checkpointing=True)
    with pytest.raises(InputError, match=r"last\.ckpt needs a folder that this machine sees"):
        run.fit(make(data), data)
    assert not run.global_step


class CtrlC(Callback):
    def on_train_batch_start(self, trainer, *_) -> None:
        if trainer.global_step == 3:
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_saves_the_step_that_is_under_way(tmp_path: Path) -> None:
    data, before = Squares(rows=30), signal.getsignal(signal.SIGINT)
    run = trainer(9, CtrlC(), LastCheckpoint(), default_root_dir=tmp_path, enable_checkpointing=True)
    with pytest.raises(SystemExit) as end:
        run.fit(make(data), data)
    assert end.value.code == 128 + signal.SIGINT
    assert read_checkpoint(LastCheckpoint.path(run))["global_step"] == 4
    assert signal.getsignal(signal.SIGINT) is before


class AfterTheLastBatch(Callback):
    def on_train_end(self, *_) -> None:
        signal.raise_signal(signal.SIGTERM)


def test_told_after_the_last_batch_a_run_is_finished(tmp_path: Path) -> None:
    """What comes behind it decides whether to stop: ``fit`` has nothing left to do, a study has."""
    data = Squares(rows=30)
    run = trainer(3, AfterTheLastBatch(), LastCheckpoint(), default_root_dir=tmp_path, enable_checkpointing=True)

    def fitted() -> None:
        with told.listen():
            run.fit(make(data), data)
            assert told.received == signal.SIGTERM

    with pytest.raises(Stopped, match=str(128 + signal.SIGTERM)):
        fitted()
    assert read_checkpoint(LastCheckpoint.path(run))["global_step"] == 3


def test_fit_that_is_told_after_the_last_batch_ends_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = LastCheckpoint._save

    def told_meanwhile(self, trainer):
        signal.raise_signal(signal.SIGTERM)
        save(self, trainer)

    monkeypatch.setattr(LastCheckpoint, "_save", told_meanwhile)
    options = "--data Digits --model DCGAN --model.width 8 --trainer.max_steps 2 --trainer.accelerator cpu"
    main(["fit", *options.split(), f"--trainer.default_root_dir={tmp_path}", "--last.every_n_steps=0"])
    assert list(tmp_path.rglob("last.ckpt"))


@pytest.mark.parametrize("rows", [1, 0])
def test_too_few_validation_rows_are_no_end_to_training(rows: int, tmp_path: Path) -> None:
    data = Squares(rows=30, labelled=False, val_fraction=rows / 24)
    best = ModelCheckpoint(tmp_path, "best", monitor="score/kernel_distance", save_on_train_epoch_end=False)
    options = {"val_check_interval": 2, "check_val_every_n_epoch": None, "enable_checkpointing": True}
    run = trainer(5, Scores(steps=2), best, limit_val_batches=1.0, num_sanity_val_steps=0, **options)
    data.setup()
    assert len(data.val) == rows
    with pytest.warns(UserWarning, match=rf"\({rows}, 2 are needed\).*raise data.val_fraction"):
        run.fit(make(data), data)
    assert run.global_step == 5
    assert not (tmp_path / "best.ckpt").exists()


@pytest.mark.parametrize("interval", [4, 5, 6])
def test_a_run_that_ends_before_its_first_score_says_so(interval: int, caplog: pytest.LogCaptureFixture) -> None:
    data = Squares(rows=30, labelled=False)
    scores = Scores(steps=2)
    run = trainer(5, scores, limit_val_batches=1.0, val_check_interval=interval, check_val_every_n_epoch=None)
    with caplog.at_level("INFO"):
        run.fit(make(data), data)
    said = "no scores and no best.ckpt: the first are due at step 6, and max_steps is 5" in caplog.text
    assert said == (scores.features is None) == (interval == 6)


class Break(Callback):
    def on_train_batch_end(self, trainer, *_) -> None:
        assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, handled)
        raise RuntimeError("broken")


def handled(number: int, frame: object) -> None:
    raise AssertionError("not to be called")


@pytest.mark.parametrize("callbacks", [(), (Break(),)])
def test_signals_are_given_back(callbacks: tuple[Callback, ...], tmp_path: Path) -> None:
    """To whoever had them before, however the run ends: a study goes on after each of its runs."""
    before = signal.signal(signal.SIGTERM, handled)
    try:
        data = Squares(rows=30)
        run = trainer(2, *callbacks, LastCheckpoint(), default_root_dir=tmp_path, enable_checkpointing=True)
        with pytest.raises(RuntimeError, match="broken") if callbacks else nullcontext():
            run.fit(make(data), data)
        assert signal.getsignal(signal.SIGTERM) is handled
    finally:
        signal.signal(signal.SIGTERM, before)


def test_plain_loaders_have_previews_of_samples_and_no_scores(tmp_path: Path) -> None:
    data = Squares(rows=30)
    data.setup()
    loader = data.train_dataloader()
    options = {"limit_val_batches": 1, "val_check_interval": 2, "check_val_every_n_epoch": None}
    run = trainer(4, Previews(2), Scores(), logger=TensorBoardLogger(tmp_path), **options)
    with pytest.warns(UserWarning, match="no scores: they need a GANDataModule"):
        run.fit(make(data), loader, loader)
    events = EventAccumulator(run.log_dir, size_guidance={"images": 0})
    events.Reload()
    assert events.Tags()["images"] == ["samples"]
    assert not any(name.startswith("score") for name in events.Tags()["scalars"])
