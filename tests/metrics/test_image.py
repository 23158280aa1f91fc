"""The Inception network: without its library, without its weights, and with weights of no meaning."""

import importlib.util
import sys

import pytest
import torch

from datamodules.errors import InputError
from ganaug import DCGAN
from ganaug.commands.evaluate import evaluate
from ganaug.metrics.image import Inception
from tests.commands.test_generate import none_of_ours
from tests.gan_contract import trainer
from tests.gans.dcgan.test_model import Squares

installed = pytest.mark.skipif(importlib.util.find_spec("torch_fidelity") is None, reason="needs torch-fidelity")
MODULE = "torch_fidelity.feature_extractor_inceptionv3"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of the right tensors, drawn at random."""
    network = importlib.import_module(MODULE)
    kept = {}

    class Fresh(network.FeatureExtractorInceptionV3):
        def load_state_dict(self, state_dict, *args, **kwargs):
            kept.update(self.state_dict())

    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        patch.setattr(network, "load_state_dict_from_url", lambda *args, **kwargs: {})
        torch.manual_seed(0)
        Fresh("inception", ["2048"])
    torch.save(kept, path)
    return path


def test_without_torch_fidelity(monkeypatch):
    monkeypatch.setitem(sys.modules, MODULE, None)
    with pytest.raises(InputError, match="pip install torch-fidelity"):
        Inception()


@installed
def test_without_network(monkeypatch, tmp_path):
    def fail(*args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr(importlib.import_module(MODULE), "load_state_dict_from_url", fail)
    with pytest.raises(InputError, match=r"Name or service not known.*--inception_weights PATH"):
        Inception()


@installed
def test_wrong_files(tmp_path):
    text, other = tmp_path / "text.pth", tmp_path / "other.pth"
    text.write_text("hello")
    torch.save({"weight": torch.zeros(3)}, other)
    with pytest.raises(InputError, match="no such file"):
        Inception(tmp_path / "missing.pth")
    for path in (text, other):
        with pytest.raises(InputError, match="not the weights"):
            Inception(path)


@installed
def test_an_incomplete_file(tmp_path, weights):
    state = torch.load(weights, weights_only=True)
    del state["fc.weight"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(InputError, match="not the weights") as caught:
        Inception(tmp_path / "part.pth")
    assert "\n" not in str(caught.value)


@installed
def test_evaluate_has_it_on_the_device_asked_for(weights, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", none_of_ours)
    data = Squares(rows=10)
    data.setup()
    model, run = DCGAN(data.schema, width=8), trainer(1)
    run.fit(model, data)
    run.save_checkpoint(weights.with_name("a.ckpt"), weights_only=False)
    few = {"n": 4, "classifier_steps": 2, "cas": False, "progress": False, "out": None}
    found = evaluate(data, ckpt=weights.with_name("a.ckpt"), inception_weights=weights, accelerator="cpu", **few)
    assert found["extractor"] == "inception-v3-compat"


@installed
def test_features(weights):
    before = torch.get_rng_state()
    features = Inception(weights, device="cpu", batch_size=2)
    assert torch.equal(before, torch.get_rng_state())
    assert features.name == "inception-v3-compat"
    grey = torch.randint(0, 256, (3, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    out = features(grey)
    assert (out.shape, out.dtype, out.requires_grad) == ((3, 2048), torch.float32, False)
    torch.testing.assert_close(features(grey.expand(-1, 3, -1, -1)), out)
    torch.testing.assert_close(features(grey[2:]), out[2:])
    assert features(grey[:1, :, :8]).shape == (1, 2048)  # no square
    for wrong in (grey.float(), grey[0], grey.expand(-1, 2, -1, -1), grey[:0]):
        with pytest.raises(InputError, match="uint8"):
            features(wrong)
