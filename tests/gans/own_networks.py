"""Tiny networks of somebody else's, in a module that a checkpoint can name."""

from typing import Any

import torch
from torch import Tensor, nn

from datamodules.images.schema import ImageSchema
from datamodules.series.schema import SeriesSchema
from ganaug.networks.decoder import Decoder, State


class Painter(nn.Module):
    """A DCGAN's generator: one dense layer on the latent and the class."""

    def __init__(
        self, schema: ImageSchema, latent_dim: int, num_classes: int, width: int = 8, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.shape, self.gain = (schema.channels, *schema.size), gain
        self.label = nn.Embedding(num_classes, width)
        self.read = nn.Linear(latent_dim, width)
        self.norm = nn.BatchNorm1d(width)
        self.dense = nn.Linear(width, torch.Size(self.shape).numel())

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        h = torch.relu(self.norm(self.read(z) + self.label(y)))
        return torch.tanh(self.gain * self.dense(h)).view(-1, *self.shape)


class Viewer(nn.Module):
    """A DCGAN's discriminator."""

    def __init__(self, schema: ImageSchema, num_classes: int, width: int = 8, norm: bool = False) -> None:
        super().__init__()
        self.read = nn.Conv2d(schema.channels, width, 4, 4)
        self.norm = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.label = nn.Embedding(num_classes, width)
        self.dense = nn.Linear(width, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = torch.relu(self.norm(self.read(x))).mean((2, 3))
        return (self.dense(h + self.label(y)))[:, 0]


class Half(Painter):
    """Gives half of a picture."""

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return super().forward(z, y)[:, :, ::2]


class Loud(Painter):
    """Gives what is no picture."""

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return 40 * super().forward(z, y)


class Mixing(Painter):
    """Sees the other rows of a batch."""

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return super().forward(z - z.mean(0), y)


class Linear(Painter):
    """Begins within [-1, 1], and nothing keeps it there."""

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return super().forward(z, y).atanh() * self.gain / 4


class Deaf(Painter):
    """Is not told the class."""

    def forward(self, z: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(z, torch.zeros(len(z), dtype=torch.long))


class Noisy(Painter):
    """Draws noise of its own."""

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return super().forward(z + torch.randn_like(z), y)


class Column(Viewer):
    """Gives (B, 1), which a loss would take to be (B, B) before long."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return super().forward(x, y)[:, None]


class Squeezed(Viewer):
    """Gives no row where there is but one."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return super().forward(x, y)[:, None].squeeze()


class Comparing(Viewer):
    """Compares the pictures of a batch (minibatch standard deviation, Karras et al. 2018)."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return super().forward(x, y) + x.std(0, correction=0).mean()


class Asking(Painter):
    """Cannot be made without values of tensors, and has a buffer that no checkpoint holds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gain = float(torch.tensor(2.0).item())
        self.register_buffer("kept", torch.ones(3), persistent=False)


def painter(schema: ImageSchema, latent_dim: int, num_classes: int) -> nn.Module:
    """A function that makes one."""
    return Painter(schema, latent_dim, num_classes)


# ---- series


class Steps(nn.Module):
    """Any of TimeGAN's five networks: a dense layer on a step, the mean of those before and what it is told."""

    def __init__(self, schema: SeriesSchema, inputs: int, outputs: int, condition: int, width: int = 6) -> None:
        super().__init__()
        self.condition = condition
        self.read = nn.Linear(2 * inputs + condition, width)
        self.dense = nn.Linear(width, outputs)

    def features(self, x: Tensor, condition: Tensor | None) -> Tensor:
        past = x.cumsum(1) / torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
        parts = [x, past]
        if self.condition:
            assert condition is not None
            parts.append(condition[:, None].expand(-1, x.shape[1], -1))
        return torch.relu(self.read(torch.cat(parts, 2)))

    def out(self, features: Tensor) -> Tensor:
        return self.dense(features)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self.out(self.features(x, condition))


class Codes(Steps):
    """One whose outputs lie in (0, 1)."""

    def out(self, features: Tensor) -> Tensor:
        return torch.sigmoid(self.dense(features))


class Featureless(nn.Module):
    """A discriminator whose features nobody can ask for."""

    def __init__(self, schema: SeriesSchema, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.inner = Steps(schema, inputs, outputs, condition)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self.inner(x, condition)


class Foreseeing(Codes):
    """Sees what comes."""

    def features(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return super().features(x.flip(1), condition).flip(1)


class Short(Codes):
    """Leaves a step out."""

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(x, condition)[:, 1:]


# ---- sentences


class Counting(Decoder):
    """A decoder that knows the sum of what it has read, through a layer of its own."""

    def __init__(self, words: int, length: int, num_classes: int, embedding: int, hidden: int, depth: int = 1) -> None:
        super().__init__(words, length, num_classes, embedding, hidden)
        layers = [nn.Linear(embedding if i == 0 else hidden, hidden) for i in range(depth)]
        self.layers = nn.Sequential(*(part for layer in layers for part in (layer, nn.Tanh())))

    def features(self, x: Tensor, y: Tensor, dropout: float = 0.0) -> Tensor:
        return nn.functional.dropout(self.layers(self.inputs(x, y).cumsum(1)), dropout)

    def begin(self, rows: int) -> State:
        return (torch.zeros(rows, self.embedding.embedding_dim, device=self.head.weight.device),)

    def advance(self, token: Tensor | None, position: int | Tensor, y: Tensor, state: State) -> Tensor:
        state[0].add_(self.start(y) if token is None else self.read(token, y))
        return self.layers(state[0])

    def keep(self, state: State) -> State:
        return (state[0].clone(),)


class Forgetful(Counting):
    """Reads single tokens otherwise than whole rows."""

    def advance(self, token: Tensor | None, position: int | Tensor, y: Tensor, state: State) -> Tensor:
        state[0].zero_()
        return super().advance(token, position, y, state)


class Sharing(Counting):
    """Keeps a state that goes on."""

    def keep(self, state: State) -> State:
        return state


class Headless(nn.Linear):
    """No decoder."""

    def __init__(self, words: int, length: int, num_classes: int, embedding: int, hidden: int) -> None:
        super().__init__(embedding, hidden)


class Reader(nn.Module):
    """A critic that reads each sequence from its beginning."""

    def __init__(self, words: int, length: int, num_classes: int, width: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.label = nn.Embedding(num_classes, width)
        self.score = nn.Linear(length * width, 1)

    def forward(self, x: Tensor, y: Tensor, dropout: float = 0.0) -> Tensor:
        h = torch.tanh(self.embedding(x) + self.label(y)[:, None])
        return self.score(nn.functional.dropout(h.flatten(1), dropout))[:, 0]


class Skipping(Reader):
    """Leaves out of a continuation what stands before it."""

    def prefixes(self, x: Tensor) -> list[Tensor]:
        return []

    def continued(self, prefixes: list[Tensor], rows: Tensor, x: Tensor, y: Tensor, start: int) -> Tensor:
        return self(x.masked_fill(torch.arange(x.shape[1]) < start, 0), y)
