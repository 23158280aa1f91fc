"""Options into objects: LightningCLI's subcommands for training, and a function's signature for each verb."""

from __future__ import annotations

import inspect
import logging
import re
import signal
import warnings
from argparse import _HelpAction
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from jsonargparse import SUPPRESS, set_parsing_settings
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.callbacks import ProgressBar as LightningBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_info

import datamodules
import ganaug
from datamodules import GANDataModule, InputError, Schema
from datamodules.lightning_internals import copied, kill_processes, leave_signals_alone
from datamodules.options import hints
from ganaug import GAN, DivergedError
from ganaug.callbacks import LastCheckpoint, Previews, Scores
from ganaug.commands.augment import augment
from ganaug.commands.evaluate import evaluate
from ganaug.commands.export import export
from ganaug.commands.generate import generate
from ganaug.commands.inspect import inspect as inspect_data
from ganaug.gans.checkpoint import AtomicCheckpointIO
from ganaug.gans.finetune import begin_from
from ganaug.help import Page
from ganaug.loggers import set_aside
from ganaug.refusals import KNOWN, deepest, one_line, refusal, refuse_run, refuse_trainer, trainer_refusal, with_known
from ganaug.runtime.stopping import told
from ganaug.runtime.trainers import COPIED
from ganaug.terminal import Facts, ProgressBar
from ganaug.typed import read_as_typed, settled

# A schema is handed from the data to the model; without this its fields would be asked for one by one.
set_parsing_settings(subclasses_enabled=[Schema])
read_as_typed()

OURS = [Path(package.__path__[0]) for package in (datamodules, ganaug)]
ROOT = "lightning_logs"  # where runs have their folders
VALIDATE_EVERY = 1000  # batches, unless another number or every so many epochs
VERBS: dict[str, Callable[..., Any]] = {
    "generate": generate,
    "evaluate": evaluate,
    "augment": augment,
    "export": export,
    "inspect": inspect_data,
}


AUTOMATIC = ("BatchSizeFinder", "GradientAccumulationScheduler", "LearningRateFinder")
FILED = ("CSVLogger", "TensorBoardLogger")  # loggers whose folder is the run's


class Parser(LightningArgumentParser):
    """Errors as one line, and help for people."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.everything = False  # whether help shows what is rarely given, too
        self.parts: list[Callable[..., Any]] = []  # whose options these are
        self.hints: dict[str, Any] = {}  # of options, with their ranges, which jsonargparse leaves out
        self.needed: set[str] = set()  # options without a default; jsonargparse forgets them while it parses
        super().__init__(*args, **kwargs)

    def _know(self, part: Callable[..., Any], key: str | None) -> None:
        self.parts.append(part)
        self.needed |= {action.dest for action in cast(list[Any], self._actions) if action.required}
        self.hints |= {f"{key}.{name}" if key else name: hint for name, hint in hints(part).items()}

    def add_function_arguments(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """For its help, too."""
        added = super().add_function_arguments(function, *args, **kwargs)
        self._know(function, None)
        return added

    def format_help(self, formatter: Any = None) -> str:
        """The page."""
        return str(Page(self, self.parts[0] if len(self.parts) == 1 else None, self.everything))

    def add_class_arguments(self, theclass: type, nested_key: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """A logger's folder may be left out."""
        added = super().add_class_arguments(theclass, nested_key, *args, **kwargs)
        for action in cast(list[Any], self._actions):
            name = action.dest.removesuffix(".help").rpartition(".")[2]
            if issubclass(theclass, Logger) and name == "save_dir" and action.required:
                action.required, action.default = False, ROOT
            elif issubclass(theclass, GAN) and name in theclass.networks and action.dest.endswith(".help"):
                # What the model gives a network is no option of it.
                action.sub_add_kwargs = {**action.sub_add_kwargs, "skip": {theclass.networks[name]}}
        self._know(theclass, nested_key)
        return added

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """What is wrong, for :func:`main` to print; parsers inside a parser go on raising what that one expects."""
        if not self.exit_on_error:
            known = [a.dest for a in self._actions if a.default != SUPPRESS and a.dest != "schema"]
            super().error(with_known(message, known), ex)
        raise refusal(message, ex, self.hints)


class HelpAll(_HelpAction):
    """Help with all options."""

    def __call__(self, parser: Any, *args: Any, **kwargs: Any) -> None:
        """Print it, and leave."""
        parser.everything = True
        super().__call__(parser, *args, **kwargs)


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
            help="folder of the runs under lightning_logs; by default by model and data.",
        )
        parser.add_argument(
            "--allow_changes",
            type=list[str],
            default=[],
            help="options of the model, like [lr_g,lr_d], in which this run may differ from the checkpoint's.",
        )
        parser.add_argument(
            "--init_from",
            type=str | None,
            default=None,
            help="checkpoint from whose weights a new run begins, on other data; classes are matched by name.",
        )
        parser.add_argument("--help_all", action=HelpAll, help="Show the help for all options and exit.")
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
        """Find the checkpoint that ``--ckpt_path last`` or ``best`` means; loggers without a folder get the run's."""
        config = self.config[self.subcommand]
        self.asked = config.clone()
        refuse_run(config)
        if config.trainer.check_val_every_n_epoch is not None and config.trainer.val_check_interval == VALIDATE_EVERY:
            config.trainer.val_check_interval = 1.0  # at the end of an epoch
        self.run_name = config.name or f"{_class(config.model)}_{_class(config.data)}".lower()
        root = Path(config.trainer.default_root_dir or ROOT) / self.run_name
        self.version: int | None = None
        given = config.trainer.logger
        first = given[0] if isinstance(given, list) and given else given
        if config.ckpt_path in ("last", "best") and (
            first is False or (_class(first) in FILED and first.init_args.save_dir != ROOT)
        ):
            of = "no logger" if first is False else "a logger of another folder"
            raise InputError(f"--ckpt_path {config.ckpt_path}: with {of} give the path of the checkpoint")
        self._find(config, root)
        for logger in given if isinstance(given, list) else [given]:
            if _class(logger) in FILED and logger.init_args.save_dir == ROOT:
                for name, value in (("save_dir", str(root.parent)), ("name", self.run_name), ("version", self.version)):
                    logger.init_args[name] = value
                if _class(logger) == "TensorBoardLogger":
                    logger.init_args["default_hp_metric"] = False  # a score that is none
                elif self.version is not None:
                    set_aside(root / f"version_{self.version}" / "metrics.csv")

    def _find(self, config: Any, root: Path) -> None:
        """The checkpoint that is wanted, and the version of the run that it is of."""
        if (wanted := config.ckpt_path) not in ("last", "best"):
            if wanted in ("hpc", ""):
                raise InputError(f"--ckpt_path {wanted!r}: give last, best or the path of a checkpoint")
            if wanted is not None and not Path(wanted).is_file():  # before a logger makes a folder for the run
                raise InputError(f"no checkpoint at {wanted}: give last, best or the path of a checkpoint")
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
        self.config[self.subcommand] = self.asked  # for config.yaml: of folders and files what was typed
        config = self._get(self.config_init, "trainer")
        refuse_trainer(config)
        given = config.get("logger")
        loggers = list(given) if isinstance(given, list | tuple) else [given] if isinstance(given, Logger) else []
        if given is not False and not any(isinstance(one, CSVLogger | TensorBoardLogger) for one in loggers):
            root = config.get("default_root_dir") or ROOT
            own = TensorBoardLogger(root, name=self.run_name, version=self.version, default_hp_metric=False)
            kwargs["logger"] = [own, *loggers]  # the first one's folder is the run's
        callbacks = config.get("callbacks") or []
        callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
        barred = any(isinstance(one, LightningBar) for one in callbacks)
        bar = [] if barred or config.get("enable_progress_bar") is False else [ProgressBar()]
        self.trainer_defaults["callbacks"] = [Facts(), *bar]
        plugins = config.get("plugins") or []
        kwargs["plugins"] = [*(plugins if isinstance(plugins, list) else [plugins]), AtomicCheckpointIO()]
        try:
            trainer = super().instantiate_trainer(**kwargs)
        except (TypeError, ValueError, RuntimeError) as error:  # the Trainer's ways to refuse an option
            raise trainer_refusal(error) from error
        if copied(trainer):
            raise InputError(COPIED)
        if unfit := [type(one).__name__ for one in cast(Any, trainer).callbacks if type(one).__name__ in AUTOMATIC]:
            raise InputError(f"--trainer.callbacks: {unfit[0]} knows automatic optimisation alone: leave it out")
        # Lightning's handlers would take the place of ours, and only take a note: of a run that no batch follows, or
        # that waits for another process, nothing would come of it.
        leave_signals_alone(trainer)
        return trainer

    def _instantiate_trainer(self, config: Any, callbacks: list[Any]) -> Trainer:
        """Without the callbacks that keep checkpoints, where none are wanted."""
        if config.get("enable_checkpointing") is False:
            callbacks = [callback for callback in callbacks if not isinstance(callback, Checkpoint)]
        return super()._instantiate_trainer(config, callbacks)

    def _run_subcommand(self, subcommand: str) -> None:
        """If this process fails, the others that it has started wait for it in vain, maybe where no signal is heard."""
        try:
            super()._run_subcommand(subcommand)
            told.received = 0  # told behind the last batch: all is done and saved, and nothing left to stop
        except BaseException:
            kill_processes(self.trainer, signal.SIGKILL)
            raise

    def before_validate(self) -> None:
        """Options that the checkpoint may differ in; without one the figures would be those of no training."""
        config = self.config_init[self.subcommand]
        if config.init_from is not None:
            raise InputError(f"--init_from is for fit: {self.subcommand} takes a checkpoint by --ckpt_path")
        if config.ckpt_path is None:
            raise InputError(f"{self.subcommand} needs --ckpt_path: last, best, or the path of a checkpoint")
        self.model.allow_changes = config.allow_changes

    before_test = before_predict = before_validate

    def before_fit(self) -> None:
        """Begin from the weights that are asked for, and say where the run is."""
        config = self.config_init[self.subcommand]
        self.model.allow_changes = config.allow_changes
        if config.init_from is not None and config.ckpt_path is None:  # what goes on has begun already
            rank_zero_info(begin_from(self.model, config.init_from))
        if self.trainer.is_global_zero and self.trainer.log_dir:
            print(f"run folder: {self.trainer.log_dir}")
            if any(isinstance(one, TensorBoardLogger) for one in self.trainer.loggers):
                print(f"watch it: tensorboard --logdir {Path(self.trainer.log_dir).parent}")


def _class(config: Any) -> str:
    return str(getattr(config, "class_path", "")).rsplit(".", 1)[-1]


def _schema(data: GANDataModule) -> Any:
    if not hasattr(data, "schema"):
        raise InputError(f"--data: {type(data).__name__} has no rows of its own; known are {', '.join(KNOWN['data'])}")
    return data.schema


def parsed(parser: LightningArgumentParser, args: Any) -> Any:
    """What the arguments say."""
    try:
        return settled(parser.parse_args(args))
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
            "val_check_interval": VALIDATE_EVERY,
            "num_sanity_val_steps": 0,
        },
        args=list(args),
    )


def run_verb(name: str, args: Sequence[str]) -> None:
    """Parse a function's arguments and call it."""
    function = VERBS[name]
    parser = Parser(prog=f"ganaug {name}")
    parser.add_function_arguments(function, fail_untyped=False)  # as fit: somebody's network may have no hints
    parser.add_argument("--config", action="config", help="YAML file of options; the command line wins.")
    switches = {f"--{key}" for key, p in inspect.signature(function).parameters.items() if isinstance(p.default, bool)}
    pairs = zip(args, [*args[1:], "--"], strict=False)  # a switch may stand alone: jsonargparse wants --overwrite=true
    options = parsed(parser, [f"{a}=true" if a in switches and b.startswith("--") else a for a, b in pairs])
    options.pop("config")
    function(**parser.instantiate(options).as_dict())


def _said(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
    """A warning of ours in one line, without the place in the program, which says nothing to whoever reads it."""
    if any(Path(filename).is_relative_to(folder) for folder in OURS):
        return f"warning: {message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"


def run(arguments: Sequence[str]) -> None:
    """Do what the arguments say: a subcommand, and its options.

    Raises:
        InputError: whatever a person can put right.
    """
    torch.set_float32_matmul_precision("high")
    warnings.filterwarnings("ignore", "Using ModelCheckpoint with manual optimization")
    warnings.filterwarnings("ignore", ".*LeafSpec.*")  # torch's deprecation, Lightning's affair
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
    warnings.filterwarnings("ignore", "The number of training batches .* is smaller than the logging interval")
    warnings.filterwarnings("ignore", ".*all_gather is deprecated")  # Lightning's affair
    warnings.filterwarnings("ignore", "It is recommended to use .*score/.*sync_dist")  # they are of all rows already
    warnings.formatwarning = _said
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(lambda r: "litlogger" not in r.getMessage())
    try:
        if arguments[0] in VERBS:
            run_verb(arguments[0], arguments[1:])
        else:
            train(arguments)
    except (DivergedError, MisconfigurationException) as error:
        raise InputError(one_line(str(error))) from error
    except RuntimeError as error:  # Lightning's, of a score that nobody logs
        if "Early stopping conditioned on metric" not in str(error):
            raise
        raise InputError(one_line(str(error))) from error
    except ValueError as error:  # a constructor's, as jsonargparse passes it on
        if found := re.search(r"Not a valid subclass of (\w+)Schema\. Got value: (\w+)Schema\(", str(error)):
            wanted, given = (kind.lower() for kind in found.groups())
            raise InputError(f"--model learns from {wanted} data, --data gives {given} data") from error
        if isinstance(reason := deepest(error), InputError):
            raise InputError(one_line(str(reason))) from error
        # A value of several types, such as a logger whose package is missing: what each of them says.
        types, _, reasons = str(error).partition("Errors:\n")
        said = re.split(r"^  - ", reasons.partition("\nGiven value")[0], flags=re.MULTILINE)[1:]
        said = [reason for reason in said if not reason.startswith("Expected a")]
        if "Union subtypes" not in types or not said:
            raise
        raise InputError(one_line("; ".join(said))) from error
