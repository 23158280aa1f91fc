"""The command line: LightningCLI's subcommands for training, and a function's signature for each verb."""

from __future__ import annotations

import errno
import inspect
import logging
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from jsonargparse import set_parsing_settings
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException

import datamodules
from datamodules import GANDataModule, InputError, Schema
from ganaug import GAN, DivergedError
from ganaug.augment import augment
from ganaug.callbacks import LastCheckpoint, Previews, Scores
from ganaug.evaluate import evaluate
from ganaug.export import export
from ganaug.gan import AtomicCheckpointIO
from ganaug.generate import generate

# A schema is handed from the data to the model; without this its fields would be asked for one by one.
set_parsing_settings(subclasses_enabled=[Schema])

VERBS: dict[str, Callable[..., Any]] = {
    "generate": generate,
    "evaluate": evaluate,
    "augment": augment,
    "export": export,
}

KNOWN = {
    "model": list(GAN.models),
    "data": [
        name
        for name in datamodules.__all__
        if issubclass(getattr(datamodules, name), GANDataModule) and name != "GANDataModule"
    ],
}

WRITING = (  # what keeps a file from being written
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.EEXIST,
)  # fmt: skip

HELP = """usage: ganaug {fit,generate,evaluate,augment,export,validate,test,predict} …

GANs for data augmentation: train on a little data, write labelled synthetic samples, measure them, and
find out whether they help.

  fit        train a model              ganaug fit --config experiments/dcgan_digits.yaml
             go on after a stop         … the same command and --ckpt_path last
             without a file             ganaug fit --model DCGAN --data MNIST --trainer.max_steps 20000
             sentences                  ganaug fit --model SeqGAN --data TextFile --data.path sentences.jsonl
  generate   write labelled samples     ganaug generate --ckpt CHECKPOINT --out samples --per_class 100
  evaluate   score them                 ganaug evaluate --ckpt CHECKPOINT --data Digits --out scores.json
  augment    do they help?              ganaug augment --config experiments/augment_digits.yaml --out study
  export     run without ganaug         ganaug export --ckpt CHECKPOINT --out model.onnx
  validate, test, predict               Lightning's own: cheap scores on a split, samples in memory

ganaug fit --help lists the options, --model.help DCGAN and --data.help ImageFolder those of a model or of data.
Watch a run: tensorboard --logdir lightning_logs
"""


class Parser(LightningArgumentParser):
    """Errors as one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """What is wrong, for :func:`main` to print; parsers inside a parser go on raising what that one expects."""
        if not self.exit_on_error:
            super().error(message, ex)
        keys = ".".join(re.findall(r'Parser key "([\w.]+)"', message))
        reason = str(deepest(ex) if ex else message)
        if keys in KNOWN and (found := re.match("Expected a dot import path string: (.*)", reason)):
            reason = f"no class {found[1]!r}; known are {', '.join(KNOWN[keys])}, or any other by its import path"
        if unknown := re.search(r"Option '\S+' is not accepted", message):  # where a value may be of several types
            reason = unknown[0]
        raise InputError(f"--{keys}: {one_line(reason)}" if keys else one_line(reason))


def deepest(error: BaseException) -> BaseException:
    """The error that all the others in a chain were raised for: jsonargparse wraps a clear reason in vague ones."""
    while not isinstance(error, InputError) and (inner := error.__cause__ or error.__context__):
        error = inner
    return error


def one_line(message: str) -> str:
    """A message of many lines as one."""
    return re.sub(r"typing\.|<class '([\w.]+)'>", r"\1", " ".join(message.split()))


def fail(where: str, message: str) -> NoReturn:
    """One line to standard error, status 2."""
    print(f"{where}: error: {message}", file=sys.stderr)
    raise SystemExit(2)


class ProgressBar(RichProgressBar):
    """Counts towards ``max_steps`` where a run has no number of epochs; Lightning's says "Epoch 0/-2" there."""

    def _get_train_description(self, current_epoch: int) -> str:
        steps = self.trainer.max_steps
        if steps < 0 or self.trainer.max_epochs != -1:
            return super()._get_train_description(current_epoch)
        return f"From step {self.trainer.global_step} of {steps}"


class SaveConfig(SaveConfigCallback):
    """Writes ``config.yaml`` when training begins, not before: a run that is refused must not leave its options."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Nothing yet: the checkpoint has not been compared."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write it."""
        super().setup(trainer, pl_module, "fit")


class CLI(LightningCLI):
    """LightningCLI with this project's defaults.

    ``data.schema`` is linked to the model, which reads its numbers from it; the same checkpoint, preview and score
    callbacks stand ready for every model, each with its options (``--previews``, ``--scores``, ``--last``, ``--best``).
    """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Links, and callbacks with their defaults."""
        parser.link_arguments("data", "model.init_args.schema", compute_fn=_schema, apply_on="instantiate")
        parser.add_argument(
            "--name",
            type=str,
            default=None,
            help="Folder of the runs under lightning_logs; by default by model and data.",
        )
        parser.add_lightning_class_args(Previews, "previews")
        parser.add_lightning_class_args(Scores, "scores")
        parser.add_lightning_class_args(LastCheckpoint, "last")
        parser.add_lightning_class_args(ModelCheckpoint, "best")
        parser.set_defaults(
            {
                "best.monitor": "score/kernel_distance",
                "best.mode": "min",
                "best.filename": "best",
                "best.save_on_train_epoch_end": False,
                "best.enable_version_counter": False,
            }
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Without Lightning's warning that both ``args`` and ``sys.argv`` are there."""
        self.config = parsed(parser, args)

    def _parse_ckpt_path(self) -> None:
        """A checkpoint's options do not silently replace those given: GAN.on_load_checkpoint compares them."""

    def before_instantiate_classes(self) -> None:
        """Find the checkpoint that ``--ckpt_path last`` or ``best`` means."""
        config = self.config[self.subcommand]
        self.run_name = config.name or f"{_class(config.model)}_{_class(config.data)}".lower()
        root = Path(config.trainer.default_root_dir or "lightning_logs") / self.run_name
        self.version: int | None = None
        if (wanted := config.ckpt_path) not in ("last", "best"):
            if wanted == "hpc":
                raise InputError("--ckpt_path hpc: give last, best or the path of a checkpoint")
            return
        ours = (p for p in root.glob(f"*/checkpoints/{wanted}.ckpt") if re.fullmatch(r"version_\d+", p.parts[-3]))
        found = sorted(ours, key=lambda p: p.stat().st_mtime)
        config.ckpt_path = str(found[-1]) if found else None
        if found:
            print(f"{'resuming from' if self.subcommand == 'fit' else 'checkpoint'} {found[-1]}")
            self.version = int(found[-1].parts[-3].removeprefix("version_"))
        elif self.subcommand == "fit" and wanted == "last":
            print(f"no last.ckpt under {root} yet: starting a new run")
        else:
            raise InputError(f"--ckpt_path {wanted}: no {wanted}.ckpt under {root}: give --name, or the path of one")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """TensorBoard in the run's folder and checkpoints that are whole, where nothing else is asked for."""
        config = self._get(self.config_init, "trainer")
        if config.get("overfit_batches"):
            raise InputError(
                "--trainer.overfit_batches: give the data a per_class instead: batches come in a set order"
            )
        every = config.get("val_check_interval")  # batches, a share of an epoch, or a time
        if isinstance(every, int | float) and every <= 0:
            raise InputError(f"--trainer.val_check_interval must be above 0, not {every}; limit_val_batches 0 is none")
        if config.get("logger") in (None, True):
            root = config.get("default_root_dir") or "lightning_logs"
            kwargs["logger"] = TensorBoardLogger(
                root, name=self.run_name, version=self.version, default_hp_metric=False
            )
        if config.get("enable_progress_bar") is not False:
            self.trainer_defaults["callbacks"] = [ProgressBar()]
        plugins = config.get("plugins") or []
        kwargs["plugins"] = [*(plugins if isinstance(plugins, list) else [plugins]), AtomicCheckpointIO()]
        try:
            return super().instantiate_trainer(**kwargs)
        except (TypeError, ValueError) as error:  # the Trainer's way to refuse an option
            raise InputError(str(error)) from error

    def before_fit(self) -> None:
        """Say where the run is."""
        if self.trainer.is_global_zero and self.trainer.log_dir:
            print(f"run folder: {self.trainer.log_dir}")
            print(f"watch it: tensorboard --logdir {Path(self.trainer.log_dir).parent}")


def _class(config: Any) -> str:
    return str(config.class_path).rsplit(".", 1)[-1]


def _schema(data: GANDataModule) -> Any:
    if not hasattr(data, "schema"):
        raise InputError(f"--data: {type(data).__name__} has no rows of its own; known are {', '.join(KNOWN['data'])}")
    return data.schema


def parsed(parser: LightningArgumentParser, args: Any) -> Any:
    """What the arguments say."""
    try:
        return parser.parse_args(args)
    except UnicodeDecodeError as error:
        raise InputError(f"--config: not a YAML file in UTF-8 ({one_line(str(error))})") from None


def train(args: Sequence[str]) -> None:
    """``fit``, ``validate``, ``test`` and ``predict``."""
    CLI(
        GAN,
        GANDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        auto_configure_optimizers=False,
        load_from_checkpoint_support=False,
        seed_everything_default=0,
        parser_class=Parser,
        parser_kwargs={"prog": "ganaug"},
        save_config_callback=SaveConfig,
        save_config_kwargs={"overwrite": True},
        trainer_defaults={
            "max_steps": 20_000,
            "max_epochs": -1,
            "check_val_every_n_epoch": None,
            "val_check_interval": 1000,
            "num_sanity_val_steps": 0,
        },
        args=list(args),
    )


def run_verb(name: str, args: Sequence[str]) -> None:
    """Parse a function's arguments and call it."""
    function = VERBS[name]
    parser = Parser(prog=f"ganaug {name}", description=inspect.getdoc(function).split("\n\nArgs:")[0])  # type: ignore[union-attr]
    parser.add_function_arguments(function, fail_untyped=True)
    parser.add_argument("--config", action="config", help="YAML file of options; those of the command line go before.")
    switches = {f"--{key}" for key, p in inspect.signature(function).parameters.items() if isinstance(p.default, bool)}
    pairs = zip(args, [*args[1:], "--"], strict=False)  # a switch may stand alone: jsonargparse wants --overwrite=true
    options = parsed(parser, [f"{a}=true" if a in switches and b.startswith("--") else a for a, b in pairs])
    options.pop("config")
    function(**parser.instantiate(options).as_dict())


def main(args: Sequence[str] | None = None) -> None:
    """Entry point: one line and status 2 for what a person can put right, a traceback for what is our fault."""
    arguments = list(sys.argv[1:] if args is None else args)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        return
    torch.set_float32_matmul_precision("high")
    warnings.filterwarnings("ignore", "Using ModelCheckpoint with manual optimization")
    warnings.filterwarnings("ignore", ".*LeafSpec.*")  # torch's deprecation, Lightning's affair
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(lambda r: "litlogger" not in r.getMessage())
    try:
        if arguments[0] in VERBS:
            run_verb(arguments[0], arguments[1:])
        elif arguments[0] in CLI.subcommands():
            train(arguments)
        else:
            fail("ganaug", f"unknown subcommand {arguments[0]!r}: ganaug --help lists them")
    except (InputError, DivergedError, MisconfigurationException) as error:
        fail(f"ganaug {arguments[0]}", one_line(str(error)))
    except ValueError as error:  # a constructor's, as jsonargparse passes it on
        if found := re.search(r"Not a valid subclass of (\w+)Schema\. Got value: (\w+)Schema\(", str(error)):
            wanted, given = (kind.lower() for kind in found.groups())
            fail(f"ganaug {arguments[0]}", f"--model learns from {wanted} data, --data gives {given} data")
        if not isinstance(deepest(error), InputError):
            raise
        fail(f"ganaug {arguments[0]}", one_line(str(deepest(error))))
    except (KeyboardInterrupt, SIGTERMException) as stop:  # the latter has saved first, and fit has said so
        if arguments[0] in VERBS or isinstance(stop, KeyboardInterrupt):
            goes_on = ": the same command goes on where it was" if arguments[0] in ("generate", "augment") else ""
            print(f"ganaug {arguments[0]}: stopped{goes_on}", file=sys.stderr)
        raise SystemExit(stop.code if isinstance(stop, SystemExit) else 128 + signal.SIGINT) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains again when it ends
        fail(f"ganaug {arguments[0]}", "whatever read the output has closed it")
    except OSError as error:
        if error.errno not in WRITING:
            raise
        fail(f"ganaug {arguments[0]}", f"{error.strerror}: {error.filename or 'while writing'}")


if __name__ == "__main__":
    main()
