import numpy as np
import pytest
import torch

from datamodules import InputError, OracleText
from datamodules.text.oracle import CHUNK, OracleLSTM
from tests.data_contract import DataModuleContract
from tests.datamodules.images.test_images import refused


def arrays(oracle: OracleLSTM) -> dict[str, np.ndarray]:
    return {name: values.numpy() for name, values in oracle.state_dict().items()}


def by_hand(a: dict[str, np.ndarray], sentence: list[int]) -> float:
    """Mean negative log-likelihood, a word and a gate at a time."""

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    a = {name: values.astype(np.float64) for name, values in a.items()}
    hidden = a["weight_hh"].shape[1]
    h, c, before, total = np.zeros(hidden), np.zeros(hidden), 0, 0.0
    for word in sentence:
        gates = a["weight_ih"] @ a["embedding"][before] + a["weight_hh"] @ h + a["bias"]
        i, f, g, o = (gates[k * hidden : (k + 1) * hidden] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        logits = a["output_weight"] @ h + a["output_bias"]
        total += np.log(np.exp(logits - logits.max()).sum()) - (logits[word] - logits.max())
        before = word
    return total / len(sentence)


class TestOracle(DataModuleContract):
    def make(self, tmp_path, **options):
        return OracleText(sentences=60, vocabulary=50, length=6, **options)


class TestOracleFromFile(DataModuleContract):
    def make(self, tmp_path, **options):
        np.savez(tmp_path / "oracle.npz", **arrays(OracleLSTM(30, hidden=4, seed=5)))
        return OracleText(sentences=60, path=tmp_path / "oracle.npz", length=5, **options)

    def test_it_is_the_same_oracle(self, tmp_path):
        module = self.make(tmp_path)
        x = module.load()[0].fields["x"]
        assert torch.equal(x, OracleLSTM(30, hidden=4, seed=5).sample(60, 5, seed=0))
        assert module.schema.vocabulary == tuple(f" {i}" for i in range(30))
        refused(
            lambda: OracleText(path=tmp_path / "oracle.npz", vocabulary=31), "30 words, not 31", "leave vocabulary out"
        )


def test_the_likelihood_is_that_of_a_plain_loop():
    oracle = OracleLSTM(40, hidden=8, seed=3)
    x = oracle.sample(CHUNK + 3, 7, seed=1)
    assert x.dtype == torch.int64
    assert x.shape == (CHUNK + 3, 7)
    nll = oracle.nll(x)
    assert nll.shape == (CHUNK + 3,)
    for row in (0, 1, CHUNK - 1, CHUNK, CHUNK + 2):
        assert nll[row] == pytest.approx(by_hand(arrays(oracle), x[row].tolist()), rel=1e-5)


def test_embedding_and_state_may_differ_in_size(tmp_path):
    rng = np.random.default_rng(0)
    shapes = {"embedding": (9, 3), "weight_ih": (8, 3), "weight_hh": (8, 2), "bias": (8,)}
    shapes |= {"output_weight": (9, 2), "output_bias": (9,)}
    weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    np.savez(tmp_path / "o.npz", **weights)
    oracle = OracleLSTM.from_npz(tmp_path / "o.npz")
    x = torch.tensor([[8, 0, 3]])
    assert oracle.nll(x).item() == pytest.approx(by_hand(weights, [8, 0, 3]), rel=1e-5)


def test_samples_are_likelier_than_chance_and_follow_the_distribution():
    oracle = OracleLSTM(60, hidden=8, seed=2)
    x = oracle.sample(4000, 3, seed=0)
    chance = torch.randint(60, (4000, 3), generator=torch.Generator().manual_seed(0))
    assert oracle.nll(x).mean() < oracle.nll(chance).mean() - 1
    first = torch.bincount(x[:, 0], minlength=60) / 4000
    expected = torch.exp(-oracle.nll(torch.arange(60)[:, None]))
    assert expected.sum().item() == pytest.approx(1, abs=1e-5)
    assert (first - expected).abs().max() < 0.03


def test_seeds():
    oracle = OracleLSTM(50, seed=1)
    assert torch.equal(oracle.embedding, OracleLSTM(50, seed=1).embedding)
    assert not torch.equal(oracle.embedding, OracleLSTM(50, seed=2).embedding)
    assert torch.equal(oracle.sample(9, 4, seed=3), oracle.sample(9, 4, seed=3))
    assert not torch.equal(oracle.sample(9, 4, seed=3), oracle.sample(9, 4, seed=4))
    before = torch.get_rng_state()
    oracle.sample(9, 4, seed=3)
    assert torch.equal(before, torch.get_rng_state())
    a, b = (OracleText(sentences=20, vocabulary=50, length=4, seed=seed) for seed in (0, 1))
    assert torch.equal(a.oracle.embedding, b.oracle.embedding)
    assert not torch.equal(a.load()[0].fields["x"], b.load()[0].fields["x"])


def test_what_it_offers():
    module = OracleText(sentences=20, vocabulary=50, length=4)
    x = module.load()[0].fields["x"]
    assert module.nll_oracle(x) == pytest.approx(module.oracle.nll(x).mean().item())
    assert isinstance(module.nll_oracle(x), float)
    text = module.schema.decode(x[:1])[0]
    assert text == " ".join(map(str, x[0].tolist()))
    assert torch.equal(module.schema.encode([text])[0], x[:1])
    assert OracleText().sentences == 14_000
    assert (len(OracleText().schema.vocabulary), OracleText().schema.max_length) == (5000, 20)
    with pytest.raises(InputError, match="the words 0 to 49, not 3 to 50"):
        module.nll_oracle(torch.tensor([[3, 50]]))


def changed(**changes):
    return {k: v for k, v in {**arrays(OracleLSTM(9, hidden=3)), **changes}.items() if v is not None}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (changed(bias=None), ["no array bias", "the file holds"]),
        (changed(embedding=None), ["no array embedding"]),
        (changed(output_weight=np.zeros((8, 3))), ["output_weight has shape (8, 3)", "it must be (9, 3)"]),
        (changed(weight_ih=np.zeros((3, 12))), ["weight_ih has shape (3, 12)", "it must be (12, 3)"]),
        (changed(weight_hh=np.zeros(12)), ["weight_hh has shape (12,)", "a matrix"]),
        (changed(embedding=np.zeros((0, 3))), ["embedding has shape (0, 3)", "not empty"]),
        (changed(bias=np.full(12, np.nan)), ["bias holds a value that is no finite number"]),
        (changed(bias=np.full(12, 1e300)), ["bias holds a value that is no finite number in float32"]),
        (changed(bias=np.array(["x"] * 12)), ["bias is <U1: weights must be floats"]),
        (changed(bias=np.array([None] * 12)), ["bias holds Python objects"]),
    ],
)
def test_a_file_that_is_no_oracle_gets_one_line(tmp_path, content, expected):
    np.savez(tmp_path / "o.npz", **content)
    refused(lambda: OracleText(path=tmp_path / "o.npz"), str(tmp_path / "o.npz"), *expected)


def test_other_mistakes_get_one_line(tmp_path):
    refused(lambda: OracleText(path=tmp_path / "none.npz"), "no file")
    for name, value in (("sentences", 0), ("vocabulary", 1), ("length", 0), ("oracle_seed", -1)):
        refused(lambda name=name, value=value: OracleText(**{name: value}), f"{name} must be at least", f"not {value}")
