"""The sections of benchmark.py that are about SeqGAN: each gives the rows of a table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datamodules.text.schema import TextSchema
from ganaug.gans.seqgan.model import SeqGAN
from ganaug.gans.seqgan.presets import PRESETS
from ganaug.gans.seqgan.reinforce import policy_loss
from ganaug.gans.seqgan.rollout import Sampler, sample_sequences
from ganaug.networks.decoder import TransformerDecoder

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
Rows = list[dict[str, Any]]


def clock(function: Callable[[], Any]) -> float:
    """Seconds that a call takes, the device's work included."""
    if CUDA:
        torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    if CUDA:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def build(words: int = 5000, length: int = 20, **options: Any) -> SeqGAN:
    """The paper's networks and loss for the oracle's kind of data."""
    schema = TextSchema(vocabulary=tuple(f" {i}" for i in range(words)), max_length=length, ends=False)
    return SeqGAN(schema, preset="paper", rollout_lag=0.0, **options).to(DEVICE)


def autocast(bf16: bool) -> torch.autocast:
    """The precision of a run."""
    return torch.autocast(DEVICE.type, torch.bfloat16, enabled=bf16)


# ---- the other side --------------------------------------------------------------------------------------------------


class PlainCritic(nn.Module):
    """The paper's discriminator as it is usually written."""

    def __init__(self, words: int, filters: dict[int, int], embedding: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, embedding)
        self.convolutions = nn.ModuleList(nn.Conv1d(embedding, count, width) for width, count in filters.items())
        width = sum(filters.values())
        self.gate, self.transform, self.dense = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Token ids (B, T) to the probability of being real, (B,)."""
        inputs = self.embedding(x).transpose(1, 2)
        features = torch.cat([F.relu(convolution(inputs)).amax(2) for convolution in self.convolutions], 1)
        gate = torch.sigmoid(self.gate(features))
        features = gate * F.relu(self.transform(features)) + (1 - gate) * features
        return torch.sigmoid(self.dense(features).squeeze(1))


class PlainStep:
    """A generator step, one rollout of one prefix at a time, tokens by ``multinomial``, as in public PyTorch codes.

    At length 20 and 16 rollouts it calls the generator 3,360 times and the discriminator 320 times.
    """

    def __init__(self, words: int, length: int, batch_size: int, rollouts: int) -> None:
        self.length, self.batch_size, self.rollouts = length, batch_size, rollouts
        self.embedding, self.lstm = nn.Embedding(words, 32).to(DEVICE), nn.LSTM(32, 32, batch_first=True).to(DEVICE)
        self.head = nn.Linear(32, words).to(DEVICE)
        filters = {width: count for width, count in PRESETS["paper"]["filters"].items() if width <= length}
        self.critic = PlainCritic(words, filters).to(DEVICE)
        parameters = [p for module in (self.embedding, self.lstm, self.head) for p in module.parameters()]
        for p in parameters:
            nn.init.normal_(p, 0.0, 0.1)
        self.adam = torch.optim.Adam(parameters, lr=1e-2)

    def token(self, inputs: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Read tokens (B, n), draw the next one."""
        features, state = self.lstm(self.embedding(inputs), state)
        probabilities = torch.softmax(self.head(features[:, -1]), 1)
        return torch.multinomial(probabilities, 1), state

    def finish(self, x: Tensor) -> Tensor:
        """Complete prefixes (B, t), which begin with the start token, to (B, T)."""
        zero = torch.zeros(1, len(x), 32, device=DEVICE)
        token, state = self.token(x, (zero, zero))
        while x.shape[1] < self.length:
            x = torch.cat([x, token], 1)
            token, state = self.token(token, state)
        return torch.cat([x, token], 1)[:, 1:]

    def __call__(self) -> None:
        """One step."""
        start = torch.zeros(self.batch_size, 1, dtype=torch.long, device=DEVICE)
        with torch.no_grad():
            x = self.finish(start)
            given = torch.cat([start, x], 1)
            reward = torch.zeros(self.length, self.batch_size, device=DEVICE)
            for _ in range(self.rollouts):
                for prefix in range(1, self.length + 1):
                    rolled = x if prefix == self.length else self.finish(given[:, : prefix + 1])
                    reward[prefix - 1] += self.critic(rolled) / self.rollouts
        zero = torch.zeros(1, self.batch_size, 32, device=DEVICE)
        features, _ = self.lstm(self.embedding(given[:, :-1]), (zero, zero))
        chosen = self.head(features).log_softmax(2).gather(2, x[..., None])[..., 0]
        self.adam.zero_grad()
        (-(chosen * reward.T).sum()).backward()
        nn.utils.clip_grad_norm_([p for group in self.adam.param_groups for p in group["params"]], 5.0)
        self.adam.step()


class OurStep:
    """The arithmetic of ``SeqGAN``'s generator step."""

    def __init__(self, words: int, length: int, batch_size: int, rollouts: int, bf16: bool) -> None:
        self.model = build(words, length, rollouts=rollouts)
        self.y = torch.zeros(batch_size, dtype=torch.long, device=DEVICE)
        self.bf16 = bf16
        self.adam = torch.optim.Adam(self.model.generator.parameters(), lr=1e-2, fused=True)

    def __call__(self) -> None:
        """One step."""
        with autocast(self.bf16):
            x, advantage, _ = self.model.play(self.y, 0)
            real = advantage.new_ones(x.shape, dtype=torch.bool)
            loss = policy_loss(self.model.log_policy(x, self.y), x, real, advantage, "sum")
        self.adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.generator.parameters(), 5.0)
        self.adam.step()


# ---- sections --------------------------------------------------------------------------------------------------------


def section_rollout(pairs: int, batch_size: int = 64, words: int = 5000, length: int = 20, rollouts: int = 16) -> Rows:
    """One adversarial generator step with the paper's networks, rollouts one by one against lockstep, in turns."""
    rows = []
    for name, bf16 in (("ours, float32", False), ("ours, bf16", True)):
        theirs, ours = (
            PlainStep(words, length, batch_size, rollouts),
            OurStep(words, length, batch_size, rollouts, bf16),
        )
        ours()
        times = [(clock(theirs), clock(ours)) for _ in range(pairs)]
        plain, lockstep = zip(*times, strict=True)
        rows.append(
            {
                "": name,
                "one by one [s]": statistics.median(plain),
                "ours [s]": statistics.median(lockstep),
                "speed-up": statistics.median(plain) / statistics.median(lockstep),
                "of pairs": f"{min(a / b for a, b in times):.1f}..{max(a / b for a, b in times):.1f}",
                "pairs": pairs,
            }
        )
    return rows


def section_cache(pairs: int, batch_size: int = 64, words: int = 5000) -> Rows:
    """Sentences from a transformer of two layers and 128 channels, with its cache and without."""
    rows = []
    for length in (20, 40, 80):
        decoder = TransformerDecoder(words, length, 1, 128, 128).to(DEVICE)
        y = torch.zeros(batch_size, dtype=torch.long, device=DEVICE)
        uniform = torch.rand(batch_size, length, device=DEVICE)
        sampler = Sampler(False)

        def whole(decoder: TransformerDecoder, y: Tensor, uniform: Tensor, sampler: Sampler) -> None:
            """All tokens so far through the network for each new one."""
            x = torch.zeros(uniform.shape, dtype=torch.long, device=DEVICE)
            with torch.no_grad():
                for t in range(uniform.shape[1]):
                    features = decoder.features(x[:, : t + 1], y)[:, -1]
                    x[:, t] = sampler(decoder, features, uniform[:, t, None], t)[:, 0]

        cached, without = [], []
        for _ in range(pairs + 1):
            without.append(clock(lambda args=(decoder, y, uniform, sampler): whole(*args)))
            cached.append(clock(lambda args=(decoder, y, uniform, sampler): sample_sequences(*args)))
        rows.append(
            {
                "length": length,
                "without [s]": statistics.median(without[1:]),
                "cache [s]": statistics.median(cached[1:]),
                "speed-up": statistics.median(without[1:]) / statistics.median(cached[1:]),
            }
        )
    return rows


def section_negatives(seconds: float) -> Rows:
    """Sequences for the discriminator a second, by how many are drawn at once."""
    model = build()
    rows = []
    for count in (64, 640, 9984):
        y = torch.zeros(count, dtype=torch.long, device=DEVICE)
        row: dict[str, Any] = {"drawn at once": count}
        for name, bf16 in (("float32 [1/s]", False), ("bf16 [1/s]", True)):
            times: list[float] = []
            with autocast(bf16):
                while len(times) < 3 or sum(times[1:]) < seconds:
                    uniform = torch.rand(count, 20, device=DEVICE)
                    times.append(clock(lambda a=(y, uniform): sample_sequences(model.generator, *a, Sampler(False))))
            row[name] = count / statistics.median(times[1:])
        rows.append(row)
    return rows


def section_scaling(pairs: int, batch_size: int = 64) -> Rows:
    """Seconds of a generator step by length, rollouts and vocabulary, one of them changed at a time."""
    rows = []
    for words, length, rollouts in (
        (5000, 20, 16), (5000, 10, 16), (5000, 40, 16), (5000, 20, 4), (5000, 20, 64), (500, 20, 16), (20000, 20, 16),
    ):  # fmt: skip
        step = OurStep(words, length, batch_size, rollouts, bf16=False)
        step()
        seconds = statistics.median(clock(step) for _ in range(pairs))
        rows.append({"vocabulary": words, "length": length, "rollouts": rollouts, "step [s]": seconds})
        rows[-1]["to the first"] = seconds / rows[0]["step [s]"]
    return rows
