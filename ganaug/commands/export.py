"""``ganaug export``: a trained generator as a program that runs without ganaug."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException
from torch.export import Dim, ExportedProgram
from torch.onnx import OnnxExporterError

from datamodules.errors import InputError
from datamodules.files.manifest import replacing, result_file, sha256_of
from datamodules.options import File, checked
from datamodules.schema import Batch
from ganaug.gans.base import GAN
from ganaug.gans.loading import load

Program = Callable[[Tensor, Tensor], Batch]


@checked
def export(ckpt: File, out: File) -> Path:
    """Write the generator of a checkpoint as a program that runs without ganaug, for any number of rows.

    The file's suffix says which: .pt2 is read by torch.export, .onnx by onnxruntime and other runtimes of ONNX. Before
    it appears it is run and compared with the checkpoint's own samples.

    Args:
        ckpt: checkpoint that ``ganaug fit`` wrote.
        out: file to write, ``….pt2`` or ``….onnx``; one that is there is replaced.

    The program has two inputs: ``latent`` float32 (B, …), of the shape and distribution that the ``latent`` of its
    model says, and ``labels`` int64 (B,), class ids, which a model without classes ignores. Its outputs are those of
    the model's ``sample``, by name: ``x``, ``y``, and of sentences and series ``length`` and ``static``. It runs on the
    CPU in float32.

    With it lie ``schema`` (JSON, of :meth:`Schema.to_dict`), ``checkpoint_sha256``, ``model`` and ``ganaug``, the
    version::

        notes = {"schema": ""}
        program = torch.export.load("model.pt2", extra_files=notes).module()
        samples = program(latent, labels)
        schema = Schema.from_dict(json.loads(notes["schema"]))

        session = onnxruntime.InferenceSession("model.onnx")
        samples = session.run(["x"], {"latent": latent.numpy(), "labels": labels.numpy()})
        notes = session.get_modelmeta().custom_metadata_map

    Returns:
        The file.

    Raises:
        InputError: the checkpoint cannot be used, the suffix is unknown, ONNX's packages are missing, or the program
            cannot be made or does not give the checkpoint's samples.
    """
    ckpt, out = Path(ckpt), result_file(out, WRITE, [ckpt])
    if out.suffix.lower() == ".onnx":
        _require_onnx()
    model = load(ckpt)
    notes = {
        "model": type(model).__name__,
        "schema": json.dumps(model.schema.to_dict(), ensure_ascii=False),
        "checkpoint_sha256": sha256_of(ckpt),
        "ganaug": version("ganaug"),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch to its own developers
        try:
            content, program = WRITE[out.suffix.lower()](trace(model), notes)
        except (TorchDynamoException, OnnxExporterError) as error:
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise InputError(f"{type(model).__name__}: sample cannot be written as {out.suffix}: {reason}") from error
    compare(model, program)
    with replacing(out) as file:
        file.write(content)
    rank_zero_info(f"{out}: the same samples as the checkpoint's, {len(content) / 2**20:.1f} MiB")
    return out


class Sample(nn.Module):
    """``sample`` as a module's forward pass."""

    def __init__(self, model: GAN) -> None:
        super().__init__()
        self.model = model

    def forward(self, latent: Tensor, labels: Tensor) -> Batch:
        """See :meth:`GAN.sample`."""
        return self.model.sample(latent, labels.clone())  # what is input and output at once would lose its name in ONNX


def trace(model: GAN) -> ExportedProgram:
    """``model.sample`` for any number of rows, with no more weights than it needs."""
    inputs = example(model, 3)
    rows = Dim("rows")
    with torch.no_grad():
        program = torch.export.export(
            Sample(model), inputs, dynamic_shapes={"latent": {0: rows}, "labels": {0: rows}}, strict=True
        )
    signature = program.graph_signature
    needed = {*signature.inputs_to_parameters.values(), *signature.inputs_to_buffers.values()}
    for name in program.state_dict.keys() - needed:
        del program.state_dict[name]
    return program


def example(model: GAN, rows: int) -> tuple[Tensor, Tensor]:
    """Latents and labels of so many rows."""
    return model.latent(torch.arange(rows), seed=rows), torch.arange(rows) % model.schema.num_classes


def write_pt2(program: ExportedProgram, notes: dict[str, str]) -> tuple[bytes, Program]:
    """The file's bytes, and the program that they hold."""
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files=notes)
    buffer.seek(0)
    return buffer.getvalue(), torch.export.load(buffer).module()


def write_onnx(program: ExportedProgram, notes: dict[str, str]) -> tuple[bytes, Program]:
    """The file's bytes, and the program that they hold."""
    import onnxruntime

    assert program.example_inputs is not None
    names = list(program.module()(*program.example_inputs[0]))
    converted = torch.onnx.export(program, output_names=names, dynamo=True, verbose=False)
    assert converted is not None
    converted.model.metadata_props.update(notes)
    content: bytes = converted.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(latent: Tensor, labels: Tensor) -> Batch:
        outputs = session.run(names, {"latent": latent.numpy(), "labels": labels.numpy()})
        return {name: torch.from_numpy(output) for name, output in zip(names, outputs, strict=True)}

    return content, run


WRITE: dict[str, Callable[[ExportedProgram, dict[str, str]], tuple[bytes, Program]]] = {
    ".pt2": write_pt2,
    ".onnx": write_onnx,
}


def _require_onnx() -> None:
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise InputError(".onnx needs onnx, onnxscript and onnxruntime: pip install 'ganaug[onnx]'") from None


def compare(model: GAN, program: Program) -> None:
    """Run a program and its model on some rows.

    Raises:
        InputError: they differ by more than rounding.
    """
    for rows in (1, 5):
        latent, labels = example(model, rows)
        made, wanted = program(latent, labels), model.sample(latent, labels)
        if not wanted["x"].is_floating_point() and latent.shape == wanted["x"].shape == made["x"].shape:
            wanted = _settled(model, latent, labels, made["x"])
        if made.keys() != wanted.keys() or not all(_equal(made[name], field) for name, field in wanted.items()):
            raise InputError(
                f"the exported program does not give the samples of this {type(model).__name__}: not written"
            )


def _settled(model: GAN, latent: Tensor, labels: Tensor, x: Tensor) -> Batch:
    """Samples whose tokens are those of x (B, T) wherever a uniform (B, T) lies at the border between two tokens.

    It may fall to either side by rounding, and all tokens after it are then others: so it is moved over the border.
    """
    wanted = model.sample(latent, labels)
    for _ in range(20):
        differ = x - wanted["x"]
        rows = differ.any(1).nonzero()[:, 0]
        if not len(rows):
            break
        first = (differ[rows] != 0).int().argmax(1)
        latent[rows, first] += 1e-6 * differ[rows, first].sign()
        wanted = model.sample(latent, labels)
    return wanted


def _equal(made: Tensor, wanted: Tensor) -> bool:
    same = made.shape == wanted.shape and made.dtype == wanted.dtype
    return same and torch.allclose(made, wanted, rtol=1e-3, atol=1e-4)
