"""Run by test_callbacks.py: two processes train together, then go on from their checkpoint."""

import sys
import warnings
from pathlib import Path

import torch
from gan_contract import trainer
from lightning.pytorch import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from test_dcgan import Squares, make

from ganaug.callbacks import LastCheckpoint, Previews, Scores

warnings.filterwarnings("ignore")


class Watch(Callback):
    """The row numbers, hidden in the pictures' first pixel, and the noise of each step."""

    def __init__(self) -> None:
        self.rows: list[torch.Tensor] = []
        self.noise: list[torch.Tensor] = []

    def on_train_start(self, trainer, module) -> None:
        module.generator.project.register_forward_pre_hook(lambda _, args: self.noise.append(args[0][0].detach()))

    def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
        table = trainer.datamodule.train.fields["x"].flatten(1).float() / 127.5 - 1
        self.rows.append(torch.cdist(batch["x"].flatten(1), table).argmin(1))


def main(folder: Path) -> None:
    def go(steps: int, ckpt: Path | None, watch: Watch):
        data = Squares(rows=60)
        model = make(data, augment_probability="ada", ada_speed=0.5)
        run = trainer(
            steps,
            watch,
            Previews(every_n_steps=3, per_class=2),
            Scores(steps=10),
            LastCheckpoint(every_n_steps=4),
            devices=2,
            strategy="ddp_find_unused_parameters_true",
            logger=TensorBoardLogger(folder, name="run", version=0),
            limit_val_batches=1.0,
            enable_checkpointing=True,
            val_check_interval=3,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
        )
        run.fit(model, data, ckpt_path=ckpt)
        return run, model

    watch = Watch()
    run, model = go(6, None, watch)
    result = {
        "weights": {name: p.detach() for name, p in model.named_parameters()},
        "rows": torch.cat(watch.rows),
        "noise": torch.stack(watch.noise),
        "scores": {name: float(v) for name, v in run.callback_metrics.items() if name.startswith("score")},
    }
    run, _ = go(8, folder / "run" / "version_0" / "checkpoints" / "last.ckpt", Watch())
    torch.save({**result, "resumed": run.global_step}, folder / f"rank{run.global_rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
