"""The command line's beginning and end: help, what stops it, and the one line for what a person can put right.

Nothing heavy is imported here, so that help and Ctrl-C answer at once.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from datamodules.errors import InputError
from ganaug.runtime.outside import import_modules, taken_out
from ganaug.runtime.stopping import Stopped, told

SUBCOMMANDS = ("inspect", "fit", "generate", "evaluate", "augment", "export", "validate", "test", "predict")
GOES_ON = ("generate", "augment")  # where it was, by the same command; fit says so itself, as far as it has saved

WRITING = (  # what keeps a file from being written
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.EEXIST,
    errno.ENOENT,
)  # fmt: skip

HELP = """usage: ganaug {inspect,fit,generate,evaluate,augment,export,validate,test,predict} …

GANs for data augmentation: train on a little data, write labelled synthetic samples, measure them, and
find out whether they help.

  inspect    what was read?             ganaug inspect --data ImageFolder --data.path photos
  fit        train a model              ganaug fit --config experiments/dcgan_digits.yaml
             go on after a stop         … the same command and --ckpt_path last
             without a file             ganaug fit --model DCGAN --data MNIST --trainer.max_steps 20000
             sentences                  ganaug fit --model SeqGAN --data TextFile --data.path sentences.jsonl
  generate   write labelled samples     ganaug generate --ckpt CHECKPOINT --out samples --per_class 100
  evaluate   score them                 ganaug evaluate --ckpt CHECKPOINT --data Digits --out scores.json
  augment    do they help?              ganaug augment --config experiments/augment_digits.yaml --out study
  export     run without ganaug         ganaug export --ckpt CHECKPOINT --out model.onnx
  validate, test, predict               Lightning's own: cheap scores on a split, samples in memory

ganaug fit --help lists the usual options, --help_all all of them, ganaug fit --model.help DCGAN and
--data.help ImageFolder those of a model or of data.
--import my_module, before or after any of them, makes the classes of my_module.py in this folder known.
Watch a run: tensorboard --logdir lightning_logs
"""


def main(args: Sequence[str] | None = None) -> None:
    """Entry point: one line and status 2 for what a person can put right, a traceback for what is our fault.

    Told to stop, by SIGTERM, SIGINT or under SLURM SIGUSR1, it ends with 128 + the signal's number.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        # Threads that wait spin for 300,000 turns by default: where cores are busy with other work they keep those they
        # wait for from running, and small steps take many times as long. Read when torch is loaded.
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    arguments = list(sys.argv[1:] if args is None else args)
    name = " ".join(["ganaug", *(word for word in arguments[:1] if not word.startswith("-"))])
    try:
        with told.listen():
            arguments, modules = taken_out(arguments)
            name = " ".join(["ganaug", *arguments[:1]])
            if not arguments and modules:
                raise InputError("--import: and then? ganaug --help lists the subcommands")
            if not arguments or arguments[0] in ("-h", "--help"):
                print(HELP, end="")
            elif arguments[0] == "--version":
                print(f"ganaug {version('ganaug')}")
            elif arguments[0] not in SUBCOMMANDS:
                fail("ganaug", f"unknown subcommand {arguments[0]!r}: ganaug --help lists them")
            else:
                with told.listen(leave=True):
                    from ganaug.parsing import run
                import_modules(modules)
                run(arguments)
    except InputError as error:
        fail(name, " ".join(str(error).split()))
    except Stopped as stop:
        if os.environ.get("LOCAL_RANK", "0") == "0":
            goes_on = ": the same command goes on where it was" if {*arguments[:1]} & {*GOES_ON} else ""
            print(f"{name}: stopped{goes_on}", file=sys.stderr)
        raise SystemExit(stop.code) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains again when it ends
        fail(name, "whatever read the output has closed it")
    except OSError as error:
        if error.errno not in WRITING:
            raise
        fail(name, f"{error.strerror}: {error.filename or 'while writing'}")


def fail(where: str, message: str) -> NoReturn:
    """One line to standard error, status 2."""
    print(f"{where}: error: {message}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
