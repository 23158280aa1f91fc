"""How well a trained network tells synthetic series from real ones, and predicts real ones after synthetic ones.

Both scores are TimeGAN's: Yoon et al. 2019, "Time-series Generative Adversarial Networks", section 4, and the code that
came with it. Sets are as in :mod:`ganaug.metrics.series`: x (N, T, F) about in [0, 1], length (N,). What lies beyond a
length never counts, N and T may differ between the sets, and the same errors are raised.

A score is of a network that was trained once, from chance beginnings on chance batches, and varies by some hundredths.
So it is taken several times. The repeats are R networks side by side that are trained at once. Nothing but the seed
tells them apart: repeat r is the one repeat of seed + r. Torch's global generator is neither read nor moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from datamodules.errors import InputError
from ganaug.metrics.series import inside, same_features
from ganaug.networks.gru import gru

RATE = 1e-3  # of Adam
HELD_OUT = 0.2  # share of the series that a discriminative score is taken on
ROWS = 1024  # series that are judged at a time
WIDTH = 32  # channels of the convolutions
DILATIONS = (1, 2, 4)  # of each layer of them: the last sees 15 steps

Parameters = list[Tensor]  # of R networks, (R, …) each
Network = Callable[[Parameters, Tensor, Tensor], Tensor]  # with x (R, B, T, F) and length (R, B), to what it says


def discriminative_score(
    real: Tensor,
    real_length: Tensor,
    synthetic: Tensor,
    synthetic_length: Tensor,
    *,
    judge: Literal["gru", "conv"] = "gru",
    iterations: int | None = None,
    hidden: int | None = None,
    batch_size: int = 128,
    repeats: int = 10,
    seed: int = 0,
    device: str = "cpu",
) -> Tensor:
    """``|½ − accuracy|`` of networks that tell real from synthetic series, on series that they were not trained on.

    As many series of the larger set are drawn as the smaller has. 80 % of both train a network, the rest are judged;
    each repeat draws and splits anew. It is trained by cross-entropy and Adam.

    Args:
        real, real_length, synthetic, synthetic_length: the sets, at least 2 series each.
        judge: ``gru`` is the published one: one layer with F // 2 states, judged by its state at the last step. It sees
            little; 0 need not mean much. ``conv`` sees more: three layers of dilated convolutions over 15 steps, and
            the mean and the largest of each of their outputs over a series.
        iterations: training batches; by default 2,000, as published, for ``gru`` and 500 for ``conv``.
        hidden: size of the network's layers; by default F // 2 or 1 for ``gru``, and ``WIDTH`` for ``conv``.
        batch_size: series of each set in a batch.
        repeats: R.
        seed: of the first.
        device: to train on.

    Returns:
        float32 (R,) in [0, ½], on the CPU. 0 where the network could as well have guessed; with M series held out of
        each set, chance alone makes about 0.28 / √M.
    """
    if judge not in JUDGES:
        raise InputError(f"judge must be one of {', '.join(JUDGES)}, not {judge!r}")
    same_features(real, synthetic)
    features = real.shape[-1]
    if hidden is None:
        hidden = max(1, features // 2) if judge == "gru" else WIDTH
    if iterations is None:
        iterations = 2000 if judge == "gru" else 500
    _check(iterations, hidden, batch_size, repeats)
    smaller = min(len(real), len(synthetic))
    if smaller < 2:
        raise InputError("discriminative_score needs at least 2 real and 2 synthetic series")
    series = _Series.of(("real", real, real_length), ("synthetic", synthetic, synthetic_length), device=device)
    generators = _generators(seed, repeats)
    orders = [(_draw(len(real), smaller, g), len(real) + _draw(len(synthetic), smaller, g)) for g in generators]
    rows = torch.stack([torch.stack(order) for order in orders])  # (R, 2, smaller)
    trained = min(smaller - 1, max(1, round((1 - HELD_OUT) * smaller)))
    begin, network = JUDGES[judge]

    def loss(parameters: Parameters) -> Tensor:
        picks = torch.stack([torch.stack([_draw(trained, batch_size, g) for _ in range(2)]) for g in generators])
        logits = network(parameters, *series.pick(rows.gather(2, picks).flatten(1)))  # (R, 2 · batch)
        of_real, of_synthetic = logits.chunk(2, 1)
        return (F.softplus(-of_real).mean(1) + F.softplus(of_synthetic).mean(1)).sum()

    parameters = _train([begin(features, hidden, g) for g in generators], loss, iterations, device)
    with _plainly(device, training=False):
        right = torch.zeros(repeats)
        for part, real_ones in ((rows[:, 0, trained:], True), (rows[:, 1, trained:], False)):
            for some in torch.split(part, ROWS, 1):
                told = network(parameters, *series.pick(some)) > 0
                right += (told == real_ones).sum(1).cpu()
    return (0.5 - right / (2 * (smaller - trained))).abs()


def predictive_score(
    train: Tensor,
    train_length: Tensor,
    test: Tensor,
    test_length: Tensor,
    *,
    iterations: int = 5000,
    hidden: int | None = None,
    batch_size: int = 128,
    repeats: int = 10,
    seed: int = 0,
    device: str = "cpu",
) -> Tensor:
    """Mean absolute error on real series of networks that learned from synthetic ones to predict the next step.

    A GRU of one layer sees the features but the last, up to a step, and predicts the last feature of the next step,
    through a sigmoid; of one feature it sees that one. It is trained by the mean absolute error and Adam. Series of a
    single step have nothing to predict and are left out.

    Args:
        train, train_length: the synthetic set; or real series, for the score that synthetic ones could reach.
        test, test_length: the real set, all of which is predicted.
        iterations: training batches.
        hidden: states of the network; by default F // 2 or 1.
        batch_size: series in a batch.
        repeats: R.
        seed: of the first.
        device: to train on.

    Returns:
        float32 (R,), at least 0, on the CPU: the mean over the series of each one's error, in units of the scaled data.
        Values beyond [0, 1] are out of the sigmoid's reach.
    """
    features = train.shape[-1]
    hidden = max(1, features // 2) if hidden is None else hidden
    _check(iterations, hidden, batch_size, repeats)
    same_features(test, train)
    learned, asked = (
        _Series.of((name, x, length), device=device).longer(name)
        for name, x, length in (("train", train, train_length), ("test", test, test_length))
    )
    generators = _generators(seed, repeats)

    def loss(parameters: Parameters) -> Tensor:
        x, length = learned.pick(torch.stack([_draw(len(learned.length), batch_size, g) for g in generators]))
        return (_errors(parameters, x, length).sum(1) / (length - 1).sum(1)).sum()

    start = [_gru_parameters(max(1, features - 1), hidden, g) for g in generators]
    parameters = _train(start, loss, iterations, device)
    with _plainly(device, training=False):
        total = torch.zeros(repeats, dtype=torch.float64)
        for some in torch.split(torch.arange(len(asked.length)), ROWS):
            x, length = asked.pick(some.expand(repeats, -1))
            total += (_errors(parameters, x, length) / (length - 1)).sum(1).cpu()
    return (total / len(asked.length)).float()


# ---- networks, R side by side ----------------------------------------------------------------------------------------


def _gru_parameters(inputs: int, hidden: int, generator: Generator) -> Parameters:
    """Of one GRU and the layer after it, drawn as Keras draws them."""
    weights = [torch.empty(3 * hidden, inputs), torch.empty(3 * hidden, hidden), torch.empty(1, hidden)]
    nn.init.xavier_uniform_(weights[0], generator=generator)
    nn.init.orthogonal_(weights[1], generator=generator)
    nn.init.xavier_uniform_(weights[2], generator=generator)
    return [weights[0], weights[1], torch.zeros(3 * hidden), torch.zeros(3 * hidden), weights[2][0], torch.zeros(1)]


def _last(parameters: Parameters, x: Tensor, length: Tensor) -> Tensor:
    """Logits (R, B) from the state at each series' last step."""
    *recurrent, weight, bias = parameters
    states = gru(x, *recurrent).permute(2, 0, 3, 1)  # (T, R, H, B)
    # A sum over steps that leaves one of them is quicker than to gather it, whose gradient is laid out another way.
    last = torch.arange(1, len(states) + 1, device=x.device)[:, None, None] == length  # (T, R, B)
    state = (states * last[:, :, None]).sum(0)
    return (state * weight[..., None]).sum(1) + bias


def _errors(parameters: Parameters, x: Tensor, length: Tensor) -> Tensor:
    """Sums (R, B) over each series' steps but the first of how far its last feature is from what was predicted."""
    *recurrent, weight, bias = parameters
    seen = x[:, :, :-1, : max(1, x.shape[3] - 1)]
    states = gru(seen, *recurrent).permute(2, 0, 3, 1)  # (T - 1, R, H, B)
    predicted = ((states * weight[..., None]).sum(2) + bias).sigmoid()
    counts = torch.arange(1, x.shape[2], device=x.device)[:, None, None] < length
    apart = (predicted - x[:, :, 1:, -1].permute(2, 0, 1)).abs()
    return (apart * counts).sum(0)


def _conv_parameters(inputs: int, hidden: int, generator: Generator) -> Parameters:
    """Of one network of convolutions: a weight (H, 3 · C) and a bias (H,) a layer, and those of the layer after it."""
    parameters = []
    for layer in range(len(DILATIONS)):
        weight = torch.empty(hidden, 3 * (hidden if layer else inputs))
        parameters += [nn.init.kaiming_uniform_(weight, nonlinearity="relu", generator=generator), torch.zeros(hidden)]
    weight = nn.init.xavier_uniform_(torch.empty(1, 2 * hidden), generator=generator)
    return [*parameters, weight[0], torch.zeros(1)]


def _pooled(parameters: Parameters, x: Tensor, length: Tensor) -> Tensor:
    """Logits (R, B) from the mean and the largest of each channel over a series' steps."""
    *layers, weight, bias = parameters
    repeats, batch, steps, _ = x.shape
    counts = (torch.arange(steps, device=x.device)[:, None] < length[:, None]).flatten(1)[:, None]  # (R, 1, T · B)
    h = x.permute(0, 3, 2, 1).flatten(2)  # (R, F, T · B): a step further is B columns further
    for dilation, kernel, shift in zip(DILATIONS, layers[::2], layers[1::2], strict=True):
        padded = F.pad(h, (dilation * batch, dilation * batch))
        taps = [padded[..., k * dilation * batch :][..., : steps * batch] for k in range(3)]
        h = torch.baddbmm(shift[..., None], kernel, torch.cat(taps, 1)).relu() * counts
    channels = h.view(repeats, -1, steps, batch)
    pooled = torch.cat([channels.sum(2) / length[:, None], channels.amax(2)], 1)  # (R, 2H, B); none is below 0
    return (pooled * weight[..., None]).sum(1) + bias


Begin = Callable[[int, int, Generator], Parameters]
JUDGES: dict[str, tuple[Begin, Network]] = {"gru": (_gru_parameters, _last), "conv": (_conv_parameters, _pooled)}

# ---- data and training -----------------------------------------------------------------------------------------------


class _Series(NamedTuple):
    """Series as x (T, N, F), which the networks read as it lies, 0 beyond length (N,)."""

    x: Tensor
    length: Tensor

    @classmethod
    def of(cls, *sets: tuple[str, Tensor, Tensor], device: str) -> _Series:
        """Several sets, each with its name, one after another."""
        steps = max(x.shape[1] for _, x, _ in sets)
        parts = []
        for name, x, length in sets:
            clean = torch.where(inside(x, length, name)[..., None], x.detach(), 0.0)
            parts.append(F.pad(clean.to(device, torch.float32), (0, 0, 0, steps - x.shape[1])))
        lengths = [length.detach().to(device) for _, _, length in sets]
        return cls(torch.cat(parts).transpose(0, 1).contiguous(), torch.cat(lengths))

    def longer(self, name: str) -> _Series:
        """The series of two steps or more."""
        rows = self.length > 1
        if not rows.any():
            raise InputError(f"{name}: no series has two steps, so that there is nothing to predict")
        return _Series(self.x[:, rows], self.length[rows])

    def pick(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Rows (R, B): x (R, B, T, F), and length (R, B)."""
        flat = index.flatten().to(self.x.device)
        x = self.x.index_select(1, flat).view(len(self.x), *index.shape, -1)
        return x.permute(1, 2, 0, 3), self.length[flat].view(index.shape)


def _train(
    begin: Sequence[Parameters], loss: Callable[[Parameters], Tensor], iterations: int, device: str
) -> Parameters:
    """Networks that begin as given, side by side; nothing that Adam does mixes them."""
    with _plainly(device, training=True):
        parameters = [torch.stack(own).to(device).requires_grad_() for own in zip(*begin, strict=True)]
        optimizer = torch.optim.Adam(parameters, RATE, fused=True)
        for _ in range(iterations):
            optimizer.zero_grad()
            loss(parameters).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return parameters


@contextmanager
def _plainly(device: str, training: bool) -> Iterator[None]:
    """In float32, with or without gradients, whatever is being trained or evaluated around it."""
    kind = torch.device(device).type
    with torch.inference_mode(False), torch.set_grad_enabled(training), torch.autocast(kind, enabled=False):
        yield


def _generators(seed: int, repeats: int) -> list[Generator]:
    return [Generator().manual_seed((seed + r) % 2**64) for r in range(repeats)]


def _draw(count: int, size: int, generator: Generator) -> Tensor:
    """As many as ``size`` of ``count`` rows, in a chance order."""
    return torch.randperm(count, generator=generator)[:size]


def _check(iterations: int, hidden: int, batch_size: int, repeats: int) -> None:
    numbers = {"iterations": iterations, "hidden": hidden, "batch_size": batch_size, "repeats": repeats}
    for name, number in numbers.items():
        if number < 1:
            raise InputError(f"{name} must be at least 1, not {number}")
