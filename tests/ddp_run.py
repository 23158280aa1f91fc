"""Run by test_distributed.py: two processes train a model together, then go on from their checkpoint."""

import sys
import warnings
from pathlib import Path

import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from datamodules import GANDataModule
from ganaug import GAN, DivergedError
from ganaug.callbacks import LastCheckpoint, Previews, Scores
from ganaug.gans.seqgan import training as seqgan
from tests import test_callbacks
from tests.gan_contract import trainer
from tests.gans.dcgan import test_model as test_dcgan
from tests.gans.r3gan import test_model as test_r3gan
from tests.gans.seqgan import test_model as test_seqgan
from tests.gans.timegan import test_model as test_timegan

warnings.filterwarnings("ignore")


class Watch(Callback):
    """The row numbers, found by what the rows hold, and the noise that the generator in training is given."""

    def __init__(self) -> None:
        self.rows: list[torch.Tensor] = []
        self.noise: list[torch.Tensor] = []

    def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
        table = torch.cat([part["x"] for part in trainer.datamodule.train.batches()]).flatten(1).float()
        self.rows.append(torch.cdist(batch["x"].flatten(1).float(), table).argmin(1))


class WatchPictures(Watch):
    def on_train_start(self, trainer, module) -> None:
        module.generator.project.register_forward_pre_hook(lambda _, args: self.noise.append(args[0][0].detach()))


class WatchSentences(Watch):
    def on_train_start(self, trainer, module) -> None:
        walk = seqgan.sample_sequences

        def noted(decoder, y, source, *args, **options):
            if decoder is module.generator:
                self.noise.append(source[0].clone())
            return walk(decoder, y, source, *args, **options)

        seqgan.sample_sequences = noted


class WatchSeries(Watch):
    def on_train_start(self, trainer, module) -> None:
        note = lambda _, args: self.noise.append(args[0][0].detach().flatten())  # noqa: E731
        module.generator.register_forward_pre_hook(note)


def pictures() -> tuple[GANDataModule, GAN]:
    """Saved after half of the batches whose gradients are summed, which are others in each process."""
    data = test_dcgan.Squares(rows=60)
    return data, test_dcgan.make(data, augment_probability="ada", ada_speed=0.5, accumulate=4)


def sentences() -> tuple[GANDataModule, GAN]:
    """Two steps of likelihood, two of the discriminator, and then both in turn."""
    data = test_callbacks.Letters(rows=60, batch_size=8)
    return data, test_seqgan.make(data, rollout_lag=0.5)


def series() -> tuple[GANDataModule, GAN]:
    """Two steps of the autoencoder, two of the supervisor, and then all networks; the threshold asks both processes."""
    data = test_timegan.Waves(rows=60, batch_size=8, val_fraction=0.1)
    return data, test_timegan.make(data, d_threshold=0.1)


def relativistic() -> tuple[GANDataModule, GAN]:
    """Series of different lengths, augmented as often as D is right; ends between two steps of the optimisers."""
    data = test_timegan.Waves(rows=60, batch_size=8, val_fraction=0.1)
    options = {"augment": "shift,scale", "augment_probability": "ada", "ada_speed": 0.5, "accumulate": 4}
    return data, test_r3gan.make(data, **options)


RUNS = {
    "R3GAN": (relativistic, WatchSeries),
    "DCGAN": (pictures, WatchPictures),
    "SeqGAN": (sentences, WatchSentences),
    "TimeGAN": (series, WatchSeries),
}


def main(name: str, folder: Path) -> None:
    make, watcher = RUNS[name]

    def go(steps: int, ckpt: Path | None, watch: Watch, version: int = 0):
        data, model = make()
        run = trainer(
            steps,
            watch,
            Previews(every_n_steps=3, per_class=2),
            Scores(steps=10),
            LastCheckpoint(every_n_steps=4),
            devices=2,
            logger=TensorBoardLogger(folder, name="run", version=version),
            limit_val_batches=1.0,
            enable_checkpointing=True,
            val_check_interval=3,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
        )
        run.fit(model, data, ckpt_path=ckpt)
        return run, model

    watch = watcher()
    run, model = go(6, None, watch)
    result = {
        "weights": {name: p.detach() for name, p in model.named_parameters()},
        "rows": torch.cat(watch.rows),
        "noise": torch.stack(watch.noise),
        "scores": {name: float(v) for name, v in run.callback_metrics.items() if name.startswith("score")},
    }
    run, resumed = go(8, folder / "run" / "version_0" / "checkpoints" / "last.ckpt", watcher())
    _, whole = go(8, None, watcher(), version=1)
    other = [key for key, value in whole.state_dict().items() if not torch.equal(value, resumed.state_dict()[key])]
    torch.save({**result, "resumed": run.global_step, "other": other}, folder / f"rank{run.global_rank}.pt")


class Poison(Callback):
    """Makes the second process's loss infinite, and no other's."""

    def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
        if trainer.global_rank == 1 and trainer.global_step == 2:
            batch["x"].fill_(float("nan"))


def diverge(folder: Path) -> None:
    data, model = pictures()
    run = trainer(50, Poison(), devices=2, log_every_n_steps=3)
    try:
        run.fit(model, data)
    except DivergedError as error:
        (folder / f"rank{run.global_rank}.txt").write_text(str(error))


if __name__ == "__main__":
    for name in RUNS:
        main(name, Path(sys.argv[1]) / name)
    diverge(Path(sys.argv[1]))
