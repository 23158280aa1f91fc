"""Sampling token by token, and Monte Carlo rollouts in lockstep: what a sequence is worth at each of its prefixes.

Run plainly, N rollouts of each prefix of a batch are N · T passes over nearly the same tokens. Here what the decoder
has read is kept at every prefix while the sequence is drawn, and all rollouts go on from there side by side: nothing is
read twice, and each position is one large pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch._higher_order_ops.scan import scan

from datamodules.options import Count, Fraction, Positive, check
from datamodules.text.schema import END, UNKNOWN
from ganaug.networks.decoder import Decoder, State

CACHE = 2**20  # probabilities that a CPU works on at a time: what its cache holds. Twice as fast as all at once
ROWS = 2**16  # rollouts that a GPU runs side by side


Judge = Callable[[Tensor, Tensor], Tensor]  # sequences (B, T) of classes (B,) to logits (B,)


@runtime_checkable
class Critic(Protocol):
    """A judge of rollouts that need not read the same prefix for each of its continuations: SeqGAN's discriminator."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Sequences x (B, T) of classes y (B,) to logits (B,)."""
        ...

    def prefixes(self, x: Tensor) -> list[Tensor]:
        """What can be said of the prefixes of x (B, T) once for all their continuations."""
        ...

    def continued(self, prefixes: list[Tensor], rows: Tensor, x: Tensor, y: Tensor, start: int) -> Tensor:
        """Logits (R,) of x (R, T), whose first ``start`` tokens are those of the given rows (R,) of ``prefixes``."""
        ...


def looks(x: Tensor) -> bool:
    """Whether code may ask how many rows there are and what they hold: a GPU would have to be waited for to know, and
    an exported program holds for any.
    """
    return x.device.type == "cpu" and not torch.compiler.is_exporting()


# ---- one token -------------------------------------------------------------------------------------------------------


def draw(logits: Tensor, uniform: Tensor) -> Tensor:
    """Tokens by inverse CDF: a deterministic function of the uniforms, so that a sample does not depend on its batch.

    In two steps, through the sums of √V blocks, which spares the cumulative sum over the whole vocabulary. A token of
    probability 0 is never drawn. On NVIDIA GPUs torch has no deterministic cumulative sum of floats, so that under
    ``--trainer.deterministic true`` it raises a RuntimeError; ``warn`` goes on.

    Args:
        logits: (R, V) float32; overwritten.
        uniform: (R, K) in [0, 1), one for each of K independent draws.

    Returns:
        (R, K) int64.
    """
    p = logits.sub_(logits.amax(1, keepdim=True)).exp_()  # (R, V), in proportion to the probabilities
    words = p.shape[1]
    side = math.isqrt(words)
    whole = words // side * side
    sums = p[:, :whole].view(len(p), -1, side).sum(2)
    if whole < words:
        sums = torch.cat([sums, p[:, whole:].sum(1, keepdim=True)], 1)
    block, rest = _search(sums[:, None], uniform * sums.sum(1, keepdim=True))  # (R, K)
    index = block[..., None] * side + torch.arange(side, device=p.device)  # (R, K, side)
    inside = p.gather(1, index.flatten(1).clamp(max=words - 1)).view(index.shape)
    if whole < words:
        inside = inside * (index < words)
    token, _ = _search(inside, rest)
    return block * side + token


def _search(weights: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """First index (R, K) at which the running sum of weights (R, K or 1, n) exceeds target (R, K), and what is left."""
    total = weights.cumsum(-1)
    # Rounding may carry a target to the very end of the scale, or past it.
    # (1 − 2⁻²⁴ takes a float32 to the one before it, as nextafter does, which ONNX does not know.)
    target = torch.minimum(target, total[..., -1] * (1 - 2**-24))[..., None]
    found = ((total > target) & (weights > 0)).to(torch.uint8).argmax(-1, keepdim=True)
    before = (total - weights).expand(*target.shape[:2], -1).gather(-1, found)
    return found[..., 0], (target - before)[..., 0].clamp(min=0)


def mask_forbidden(logits: Tensor, position: int | slice) -> Tensor:
    """Forbid, in place, what is never sampled: the unknown word, and an end before the first word.

    Args:
        logits: (…, V) at one position, or (B, T, V) at all.
        position: which one; or ``slice(None)``.
    """
    logits[..., UNKNOWN].fill_(-torch.inf)
    if position == slice(None):
        logits[:, 0, END].fill_(-torch.inf)
    elif position == 0:
        logits[..., END].fill_(-torch.inf)
    return logits


class Sampler(NamedTuple):
    """How a token is drawn from logits.

    Args:
        ends: whether id 0 ends a sentence, and id 1 is no word.
        temperature: logits are divided by it; towards 0 the likeliest token always wins.
        top_k: only so many of the likeliest tokens.
        top_p: only the likeliest tokens that together have this probability (Holtzman et al. 2020, section 3.1).
    """

    ends: bool
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def check(self) -> Sampler:
        """Itself.

        Raises:
            InputError: an option out of its range.
        """
        if not torch.compiler.is_compiling():  # which cannot trace hints; an export has the defaults
            for name, hint in (("temperature", Positive), ("top_k", Count | None), ("top_p", Fraction | None)):
                check(name, getattr(self, name), hint)
        return self

    def __call__(self, decoder: Decoder, features: Tensor, uniform: Tensor, position: int) -> Tensor:
        """Tokens (R, K) from what the output layer sees, (R, H), by uniforms (R, K)."""
        if not looks(features):
            return self._draw(decoder, features, uniform, position)
        rows = max(64, CACHE // decoder.head.out_features)
        parts = zip(torch.split(features, rows), torch.split(uniform, rows), strict=True)
        return torch.cat([self._draw(decoder, some, u, position) for some, u in parts])

    def _draw(self, decoder: Decoder, features: Tensor, uniform: Tensor, position: int) -> Tensor:
        logits = decoder.head(features).float()
        if self.ends:
            mask_forbidden(logits, position)
        return draw(self._sharpen(logits), uniform)

    def _sharpen(self, logits: Tensor) -> Tensor:
        if self.temperature != 1:
            logits = logits / self.temperature
        if self.top_k is not None and self.top_k < logits.shape[1]:
            least = logits.topk(self.top_k, 1).values[:, -1:]
            logits = logits.masked_fill(logits < least, -torch.inf)
        if self.top_p is not None and self.top_p < 1:
            ordered, order = logits.sort(1, descending=True)
            p = ordered.softmax(1)
            beyond = p.cumsum(1) - p >= self.top_p  # the one that crosses the line stays
            logits = ordered.masked_fill(beyond, -torch.inf).gather(1, order.argsort(1))
        return logits


# ---- a sequence ------------------------------------------------------------------------------------------------------


class Sequences(NamedTuple):
    """Sequences, and what the decoder had read and saw at each of their prefixes.

    Args:
        x: (B, T) token ids, 0 after the end.
        features: of each position up to where all had ended, (B, H): what the output layer saw.
        states: of each of them: what had been read.
    """

    x: Tensor
    features: list[Tensor]
    states: list[State]


@torch.no_grad()
def sample_sequences(
    decoder: Decoder, y: Tensor, source: Tensor, sampler: Sampler | None = None, keep: bool = False
) -> Sequences:
    """Draw sequences, or read given ones.

    Args:
        decoder: what writes them.
        y: (B,) classes.
        source: uniforms (B, T) in [0, 1), one a token, if there is a sampler; else the token ids themselves.
        sampler: how tokens are drawn.
        keep: the features and states of each position too.
    """
    if sampler and torch.compiler.is_exporting():
        return Sequences(_scanned(decoder, y, source, sampler), [], [])
    state = decoder.begin(len(y))
    x = torch.zeros_like(source, dtype=torch.long) if sampler else source
    features, states = [], []
    token: Tensor | None = None
    for position in range(source.shape[1]):
        seen = decoder.advance(token, position, y, state)
        if keep:
            features.append(seen.clone())
            states.append(decoder.keep(state))
        if sampler:
            following = sampler(decoder, seen, source[:, position, None], position)[:, 0]
            if sampler.ends and token is not None:
                following = following.masked_fill(token == END, END)
            x[:, position] = following
            if sampler.ends and looks(x) and not following.any():
                break
        token = x[:, position]
    return Sequences(x, features, states)


def _scanned(decoder: Decoder, y: Tensor, uniform: Tensor, sampler: Sampler) -> Tensor:
    """What :func:`sample_sequences` draws, (B, T), by a loop that an exported program holds as a loop.

    Unrolled, its size and the time to write it grow with T, to many minutes at fifty tokens.
    """
    state = tuple(torch.zeros_like(part) for part in decoder.begin(len(y)))
    first = sampler(decoder, decoder.advance(None, 0, y, state), uniform[:, :1], 0)[:, 0]

    def step(carry: tuple[Tensor, ...], given: tuple[Tensor, Tensor]) -> tuple[tuple[Tensor, ...], Tensor]:
        token, state, (position, u) = carry[0], tuple(part.clone() for part in carry[1:]), given
        following = sampler(decoder, decoder.advance(token, position, y, state), u[:, None], 1)[:, 0]
        if sampler.ends:
            following = following.masked_fill(token == END, END)
        return (following, *state), following.clone()

    if uniform.shape[1] == 1:
        return first[:, None]
    positions = torch.arange(1, uniform.shape[1], device=y.device)[:, None]
    _, rest = scan(step, (first, *state), (positions, uniform.T[1:].contiguous()))  # (T - 1, B)
    return torch.cat([first[:, None], rest.T], 1)


@torch.no_grad()
def roll_out(
    decoder: Decoder, past: Sequences, y: Tensor, rows: Tensor, prefixes: Sequence[int], uniform: Tensor, ends: bool
) -> Tensor:
    """Rollouts of several prefixes of some sequences, in lockstep.

    Position by position: those of a prefix join when its first missing token is due, and of that token all draws come
    from the same probabilities.

    Args:
        decoder: the rollout policy.
        past: of all sequences, with states kept.
        y: (B,) classes of all.
        rows: (R,) which sequences.
        prefixes: lengths, rising, each at most T − 1.
        uniform: (P, R, N, T): of N rollouts of each of P prefixes.
        ends: as for :class:`Sampler`.

    Returns:
        (P, R, N, T).
    """
    count, length = uniform.shape[2], uniform.shape[3]
    x = past.x[rows].repeat_interleave(count, 0).repeat(len(prefixes), 1, 1)  # (P, R · N, T)
    for i, prefix in enumerate(prefixes):
        x[i, :, prefix:] = END
    x = x.flatten(0, 1)  # (P · R · N, T); a longer prefix lies further down, so those that are under way come first
    state = tuple(
        torch.cat([past.states[prefix][k][rows].repeat_interleave(count, 0) for prefix in prefixes])
        for k in range(len(past.states[0]))
    )
    y = y[rows].repeat_interleave(count).repeat(len(prefixes))
    each = len(rows) * count
    uniforms = uniform.flatten(0, 2)  # (P · R · N, T)
    sampler = Sampler(ends)
    for position in range(prefixes[0], length):
        under_way = each * sum(prefix < position for prefix in prefixes)
        tokens = []
        if under_way:
            some = tuple(part[:under_way] for part in state)
            features = decoder.advance(x[:under_way, position - 1], position, y[:under_way], some)
            tokens.append(sampler(decoder, features, uniforms[:under_way, position, None], position)[:, 0])
        if position in prefixes:
            draws = uniform[prefixes.index(position), :, :, position]  # (R, N)
            tokens.append(sampler(decoder, past.features[position][rows], draws, position).flatten())
        token = torch.cat(tokens)
        if ends and position:
            token.masked_fill_(x[: len(token), position - 1] == END, END)
        x[: len(token), position] = token
        if ends and x.device.type == "cpu" and len(token) == len(x) and not token.any():
            break
    return x.view(uniform.shape)


@torch.no_grad()
def prefix_values(
    decoder: Decoder,
    critic: Judge,
    reward: Callable[[Tensor], Tensor],
    past: Sequences,
    y: Tensor,
    prefixes: Sequence[int],
    rollouts: int,
    ends: bool,
    uniform: Tensor | None = None,
    lockstep: bool | None = None,
) -> Tensor:
    """What the critic gives for each prefix, in the mean over its rollouts (Yu et al. 2017, eq. 4).

    Args:
        decoder: the rollout policy.
        critic: a discriminator, as it should judge: without dropout; on a CPU best a :class:`Critic`.
        reward: of its logits.
        past: of the sequences, with the policy's states kept.
        y: (B,) classes.
        prefixes: lengths, rising, from 0 to T − 1, that rollouts start at.
        rollouts: N of each.
        ends: as for :class:`Sampler`.
        uniform: (P, B, N, T), the rollouts' chance; by default from torch's global generator.
        lockstep: all prefixes side by side, without a look at what they hold, which a GPU would have to be waited for;
            or one prefix at a time, without the sequences that have ended, and the critic looking only at what is new.
            By default as suits the device.

    Returns:
        (T + 1, B): row t is the value of the first t tokens. Rows that are in ``prefixes`` and the last row hold; of a
        sequence that has ended the value is its reward.
    """
    batch, length = past.x.shape
    final = reward(critic(past.x, y).float())  # (B,)
    value = final.repeat(length + 1, 1)
    if uniform is None:
        uniform = torch.rand(len(prefixes), batch, rollouts, length, device=past.x.device)
    if not (past.x.device.type != "cpu" if lockstep is None else lockstep):
        known = critic.prefixes(past.x) if isinstance(critic, Critic) else []
        for i, prefix in enumerate(prefixes):
            rows = torch.arange(batch)
            if ends and prefix:
                rows = rows[past.x[:, prefix - 1] != END]
            if not len(rows):
                break
            x = roll_out(decoder, past, y, rows, [prefix], uniform[i : i + 1, rows], ends)[0].flatten(0, 1)  # (R·N, T)
            each = rows.repeat_interleave(rollouts)
            parts = zip(torch.split(each, 1024), torch.split(x, 1024), strict=True)
            if isinstance(critic, Critic):
                logits = torch.cat([critic.continued(known, b, part, y[b], prefix) for b, part in parts])
            else:
                logits = torch.cat([critic(part, y[b]) for b, part in parts])
            value[prefix, rows] = reward(logits.float()).view(-1, rollouts).mean(1)
        return value
    index = torch.tensor(list(prefixes), device=past.x.device)
    at_once = max(1, ROWS // (len(prefixes) * rollouts))
    for rows in torch.split(torch.arange(batch, device=past.x.device), at_once):
        x = roll_out(decoder, past, y, rows, prefixes, uniform[:, rows], ends)  # (P, R, N, T)
        each = y[rows].repeat_interleave(rollouts).repeat(len(prefixes))
        parts = zip(torch.split(x.flatten(0, 2), 8192), torch.split(each, 8192), strict=True)
        logits = torch.cat([critic(some, classes) for some, classes in parts])
        value[index[:, None], rows] = reward(logits.float()).view(len(prefixes), -1, rollouts).mean(2)
    return value
