"""What every GAN must do. A model's test class inherits :class:`GANContract` and gives ``make`` and ``data``."""

import io
import warnings
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from datamodules import GANDataModule, InputError
from ganaug import DivergedError
from ganaug.gans.base import GAN
from ganaug.gans.checkpoint import FORMAT, AtomicCheckpointIO, read_checkpoint
from ganaug.gans.loading import load

warnings.filterwarnings("ignore", ".*does not have many workers.*")


class Stop(Callback):
    """Saves after the given step and ends the run as a killed process would: no hook runs after it."""

    class Killed(BaseException):
        pass

    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer, *_) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path, weights_only=False)
            raise self.Killed


class Batches(Callback):
    """Remembers what the model was shown."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
        self.seen.append(batch["x"].clone())


def trainer(steps: int, *callbacks: Callback, **options) -> Trainer:
    settings = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "max_epochs": -1,
        "limit_val_batches": 0,
        "log_every_n_steps": 2,
        "plugins": [AtomicCheckpointIO()],
    }
    return Trainer(max_steps=steps, callbacks=list(callbacks), **settings | options)


def on_fake_gpu(model: GAN) -> None:
    """Put the model on a GPU of which nothing is known but that it is there; inside of ``FakeTensorMode``."""
    for part in model.modules():
        for name, field in part._buffers.items():
            part._buffers[name] = field if field is None else torch.empty_like(field, device="cuda")
        for name, field in part._parameters.items():
            part._parameters[name] = None if field is None else nn.Parameter(torch.empty_like(field, device="cuda"))
    model._device = torch.device("cuda:0")


def equal(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class GANContract:
    """``steps`` should reach into every phase and over at least two epochs of ``data``."""

    steps = 7
    fake_gpu = True  # whether torch's fake tensors can follow it: neither cuDNN's recurrences nor a look at values

    def make(self, data: GANDataModule, **options) -> GAN:
        raise NotImplementedError

    def data(self, **options) -> GANDataModule:
        raise NotImplementedError

    def fitted(self, steps: int | None = None, data: dict | None = None, callbacks=(), ckpt=None, **options) -> GAN:
        module = self.data(**data or {})
        model = self.make(module, **options)
        trainer(self.steps if steps is None else steps, *callbacks).fit(model, module, ckpt_path=ckpt)
        return model

    # ---- latents and samples

    def test_latent_row_is_a_function_of_seed_and_index(self) -> None:
        model = self.make(self.data())
        whole = model.latent(torch.arange(9), seed=3)
        assert torch.equal(model.latent(torch.tensor([7, 2]), seed=3), whole[[7, 2]])
        assert not torch.equal(model.latent(torch.arange(9), seed=4), whole)
        assert len(whole.flatten(1).unique(dim=0)) == 9

    def test_samples_do_not_depend_on_the_batch(self) -> None:
        model = self.make(self.data()).eval()
        y = torch.arange(11) % model.schema.num_classes
        latent = model.latent(torch.arange(11), seed=1)
        whole = model.sample(latent, y)
        torch.manual_seed(5)
        for rows in torch.arange(11).split(4):
            part = model.sample(latent[rows], y[rows])
            for name, field in part.items():
                torch.testing.assert_close(field, whole[name][rows], rtol=0, atol=1e-5)

    def test_sampling_leaves_the_random_state_and_the_weights_alone(self) -> None:
        model = self.make(self.data())
        before = {name: value.clone() for name, value in model.state_dict().items()}
        state = torch.get_rng_state()
        model.sample(model.latent(torch.arange(3), 0), torch.zeros(3, dtype=torch.long))
        assert torch.equal(state, torch.get_rng_state())
        assert equal(before, model.state_dict())

    def test_logits_are_the_same_in_training_mode_and_change_nothing(self) -> None:
        module = self.data()
        module.setup()
        batch = next(iter(module.train_dataloader()))
        model = self.make(module).train()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        modes = [part.training for part in model.modules()]
        logits = model.logits(batch)
        assert logits.shape == batch["y"].shape
        assert not logits.requires_grad
        assert torch.equal(logits, model.logits(batch))
        assert equal(before, model.state_dict())
        assert modes == [part.training for part in model.modules()]
        assert torch.equal(logits, model.eval().logits(batch))

    def test_samples_are_the_same_in_training_mode(self) -> None:
        model = self.fitted(2)
        latent, y = model.latent(torch.arange(3), 0), torch.zeros(3, dtype=torch.long)
        assert equal(model.train().sample(latent, y), model.eval().sample(latent, y))

    def test_labels_of_no_class_are_refused(self) -> None:
        model = self.make(self.data()).eval()
        for wrong in (-1, model.schema.num_classes):
            if model.conditional and model.schema.num_classes > 1:
                with pytest.raises(InputError, match="labels are class ids from 0 to"):
                    model.sample(model.latent(torch.arange(2), 0), torch.tensor([0, wrong]))

    def test_everything_is_where_the_weights_are(self) -> None:
        """On a GPU that is not there: torch's fake tensors have a device and no values."""
        if not self.fake_gpu:
            pytest.skip("fake tensors cannot follow it")
        module = self.data()
        module.setup()
        model = self.make(module)
        index = torch.arange(4)
        batch = module.train.__getitems__(index.tolist())
        latent = model.latent(index, 0)
        with FakeTensorMode(allow_non_fake_inputs=True, shape_env=ShapeEnv()):
            on_fake_gpu(model)
            batch = {name: field.to("cuda") for name, field in batch.items()}
            made = model.sample(latent, batch["y"].cpu())
            assert {field.device.type for field in made.values()} == {"cuda"}
            assert model.judged(batch).device.type == "cuda"
            changed = model.augmented(batch)
            assert changed is None or {field.device.type for field in changed.values()} == {"cuda"}

    # ---- training

    def test_a_batch_is_a_step(self) -> None:
        module = self.data()
        run = trainer(self.steps)
        run.fit(self.make(module), module)
        assert run.global_step == self.steps
        assert run.fit_loop.epoch_loop.batch_progress.total.completed == self.steps

    def test_same_seed_same_weights_whatever_the_global_state(self) -> None:
        first = self.fitted(seed=1).state_dict()
        torch.manual_seed(99)
        assert equal(first, self.fitted(seed=1).state_dict())
        assert not equal(first, self.fitted(seed=2).state_dict())

    def test_training_changes_the_weights(self) -> None:
        model = self.make(self.data(), seed=1)
        assert not equal(model.state_dict(), self.fitted(seed=1).state_dict())

    def borders(self) -> list[int]:
        """The steps between two phases, the first step, and one before the end."""
        ends, whole = [1, self.steps - 1], 0
        for _, steps in self.make(self.data()).phases[:-1]:
            whole += steps
            ends.append(whole)
        return sorted({end for end in ends if 0 < end < self.steps})

    def test_resumed_equals_uninterrupted(self, tmp_path: Path) -> None:
        self.check_resumed(tmp_path, self.borders(), workers=0)

    def test_resumed_with_workers_equals_uninterrupted(self, tmp_path: Path) -> None:
        self.check_resumed(tmp_path, [self.steps - 1], workers=2)

    @pytest.mark.slow
    def test_resumed_after_any_batch_equals_uninterrupted(self, tmp_path: Path) -> None:
        self.check_resumed(tmp_path, range(1, self.steps), workers=0)

    def check_resumed(self, tmp_path: Path, stops: Iterable[int], workers: int) -> None:
        data = {"num_workers": workers}
        whole = Batches()
        expected = self.fitted(data=data, callbacks=[whole])
        for stop in stops:
            path = tmp_path / f"{stop}.ckpt"
            with pytest.raises(Stop.Killed):
                self.fitted(data=data, callbacks=[Stop(stop, path)])
            torch.manual_seed(stop)
            rest = Batches()
            resumed = self.fitted(data=data, callbacks=[rest], ckpt=path)
            assert equal(expected.state_dict(), resumed.state_dict()), f"stopped after batch {stop}"
            assert len(rest.seen) == self.steps - stop
            assert all(torch.equal(a, b) for a, b in zip(rest.seen, whole.seen[stop:], strict=True))

    def test_resumed_in_the_middle_of_accumulation(self, tmp_path: Path) -> None:
        expected = self.fitted(accumulate=3, clip=0.5)
        with pytest.raises(Stop.Killed):
            self.fitted(accumulate=3, clip=0.5, callbacks=[Stop(2, tmp_path / "a.ckpt")])
        resumed = self.fitted(accumulate=3, clip=0.5, ckpt=tmp_path / "a.ckpt")
        assert equal(expected.state_dict(), resumed.state_dict())

    def test_loaded_and_trained_on_it_is_in_training_mode(self, checkpoint: Path) -> None:
        module = self.data()
        model = load(checkpoint)
        assert not model.training
        trainer(1).fit(model, module)
        assert all(part.training for name, part in model.named_modules() if not name.startswith("ema"))

    @pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
    def test_other_precisions_get_one_line(self, precision: str) -> None:
        module = self.data()
        with pytest.raises(InputError, match=f"precision {precision}: a GAN trains in 32-true, bf16-mixed, 16-mixed"):
            trainer(1, precision=precision).fit(self.make(module), module)

    @pytest.mark.parametrize("able", [False, True])
    def test_bf16_that_the_processor_lacks_is_pointed_out(self, able: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": able})
        module = self.data()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            trainer(1, precision="bf16-mixed").fit(self.make(module), module)
        told = [str(one.message) for one in said if "bfloat16" in str(one.message)]
        expected = "precision bf16-mixed: this CPU does not multiply in bfloat16, so that 32-true is faster"
        assert told == ([] if able else [expected])

    def test_clip_bounds_the_gradients_of_every_step(self) -> None:
        norms: list[float] = []

        def note(optimizer, *_) -> None:
            grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            norms.append(torch.stack([grad.norm() for grad in grads]).norm().item())

        class Watch(Callback):
            def on_train_start(self, trainer, module) -> None:
                for optimizer in trainer.optimizers:
                    optimizer.register_step_post_hook(note)

        self.fitted(callbacks=[Watch()])
        free = max(norms)
        norms.clear()
        self.fitted(callbacks=[Watch()], clip=free / 10)
        assert max(norms) == pytest.approx(free / 10, rel=1e-3)

    def test_bf16(self) -> None:
        module = self.data()
        model = self.make(module)
        trainer(self.steps, precision="bf16-mixed").fit(model, module)
        assert all(torch.isfinite(value).all() for value in model.state_dict().values())
        assert all(p.dtype == torch.float32 for p in model.parameters())

    def test_divergence_stops_the_run_and_is_not_saved(self, tmp_path: Path) -> None:
        module = self.data()
        model = self.make(module)

        class Poison(Callback):
            def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
                if trainer.global_step == 3:
                    with torch.no_grad():
                        for parameter in module.parameters():
                            parameter.fill_(float("nan"))

        run = trainer(self.steps, Poison())
        with pytest.raises(DivergedError, match="step 3") as error:
            run.fit(model, module)
        assert "\n" not in str(error.value)
        with pytest.raises(DivergedError, match="not saved"):
            run.save_checkpoint(tmp_path / "bad.ckpt")
        assert list(tmp_path.iterdir()) == []

    # ---- checkpoints

    @pytest.fixture
    def checkpoint(self, tmp_path: Path) -> Path:
        path = tmp_path / "stop.ckpt"
        with pytest.raises(Stop.Killed):
            self.fitted(callbacks=[Stop(2, path)])
        return path

    def test_checkpoint_is_plain_and_enough(self, checkpoint: Path) -> None:
        content = torch.load(checkpoint, weights_only=True)
        assert content["ganaug"]["format"] == FORMAT
        model = load(checkpoint)
        assert model.schema == self.data().schema
        assert not model.training
        again = self.make(self.data())
        again.load_state_dict(content["state_dict"])
        latent, y = model.latent(torch.arange(5), 0), torch.zeros(5, dtype=torch.long)
        assert torch.equal(model.sample(latent, y)["x"], again.eval().sample(latent, y)["x"])

    @pytest.mark.parametrize("fused", [False, True])  # False is what a run of 16-mixed leaves
    def test_a_resumed_run_steps_as_its_own_precision_says(self, fused: bool, checkpoint: Path) -> None:
        content = torch.load(checkpoint, weights_only=True)
        for state in content["optimizer_states"]:
            state["param_groups"][0]["fused"] = fused
        torch.save(content, checkpoint)
        module = self.data()
        model, run = self.make(module), trainer(self.steps)
        run.fit(model, module, ckpt_path=checkpoint)
        assert all(optimizer.param_groups[0]["fused"] for optimizer in run.optimizers)
        assert equal(self.fitted().state_dict(), model.state_dict())

    def test_foreign_files_get_one_line(self, checkpoint: Path, tmp_path: Path) -> None:
        whole = checkpoint.read_bytes()
        old = torch.load(checkpoint, weights_only=True)
        old["ganaug"]["format"] = FORMAT - 1
        torch.save(old, tmp_path / "old.ckpt")
        torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
        unknown = torch.load(checkpoint, weights_only=True)
        unknown["ganaug"]["schema"]["colour"] = "blue"
        torch.save(unknown, tmp_path / "unknown.ckpt")
        buffer = io.BytesIO()
        torch.save({"ganaug": Path("an object, not a plain value")}, buffer)
        for name, content in (
            ("truncated", whole[: len(whole) // 2]),
            ("empty", b""),
            ("text", b"no checkpoint"),
            ("code", buffer.getvalue()),
        ):
            (tmp_path / f"{name}.ckpt").write_bytes(content)
        for name in ("old", "foreign", "unknown", "truncated", "empty", "text", "code", "missing"):
            with pytest.raises(InputError) as error:
                load(tmp_path / f"{name}.ckpt")
            assert "\n" not in str(error.value)
        with pytest.raises(InputError, match="folder"):
            read_checkpoint(tmp_path)

    def test_resuming_with_other_options_or_data_is_refused(self, checkpoint: Path) -> None:
        with pytest.raises(InputError, match="accumulate 1 there, 2 here"):
            self.fitted(ckpt=checkpoint, accumulate=2)
        with pytest.raises(InputError, match=r"seed|another split"):
            self.fitted(ckpt=checkpoint, data={"seed": 5})
        with pytest.raises(InputError, match="trained with data batch_size 8, this run has 4"):
            self.fitted(ckpt=checkpoint, data={"batch_size": 4})

    def test_a_full_disk_leaves_the_last_checkpoint(self, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = checkpoint.read_bytes()

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            AtomicCheckpointIO().save_checkpoint({}, checkpoint)
        assert checkpoint.read_bytes() == before
        assert [p.name for p in checkpoint.parent.iterdir()] == [checkpoint.name]
