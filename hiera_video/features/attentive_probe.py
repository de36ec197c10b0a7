"""The attentive head on the tokens of videos.

Axes: B videos, N tokens of a video, D width, K classes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from hiera_video.config.probe_groups import AttentiveSettings
from hiera_video.features.folds import Split
from hiera_video.features.pool import SMALLEST_SCALE, VideoPool
from hiera_video.features.sweep import Choice
from hiera_video.models.config import HieraConfig
from hiera_video.models.heads.attentive import AttentiveHead
from hiera_video.seeding import derive_seed, generator

#: A forward pass takes videos of the same number of tokens, with at most so many in all.
_MOST_TOKENS = 1 << 16
_WARMUP_SHARE = 0.1
#: Heads of attention: as many as in Hiera's last stage, or as leave each one so many numbers.
_NUM_HEADS = (8, 4, 2)
_LEAST_HEAD_WIDTH = 16


class AttentiveProbe:
    """:class:`AttentiveHead` on the standardised tokens of each video: one of each window where
    features are pooled, all of all windows where they are maps. AdamW for a fixed number of epochs,
    with a linear warm-up and a cosine to 0. Nothing is chosen."""

    chosen = None

    def __init__(self, settings: AttentiveSettings, seed: int) -> None:
        self.settings = settings
        self.seed = seed

    def __call__(
        self, pool: VideoPool, split: Split, held_out: Sequence[Split]
    ) -> tuple[np.ndarray, Choice]:
        """Scores ``(B, K)`` of the split's B tested videos."""
        device = Accelerator().device
        # Each fold begins with the same weights: it is as if it were the only one.
        head = new_head(pool.vectors.shape[1], len(pool.classes), self.seed).to(device)
        tokens_of = StandardTokens(pool, split.train)
        self._train(head, tokens_of, pool.labels, split.train)
        head.eval()
        scores = np.zeros((len(split.test), len(pool.classes)), np.float32)
        with torch.inference_mode():
            for first in range(0, len(split.test), self.settings.batch_size):
                videos = split.test[first : first + self.settings.batch_size]
                for numbers, tokens in same_lengths([tokens_of(int(video)) for video in videos]):
                    logits = head(tokens.to(device))
                    scores[first + numbers] = logits.softmax(-1).cpu().numpy()
        return scores, Choice(None, [])

    def _train(
        self, head: AttentiveHead, tokens_of: StandardTokens, labels: np.ndarray, train: np.ndarray
    ) -> None:
        settings, device = self.settings, head.query.device
        steps_per_epoch = math.ceil(len(train) / settings.batch_size)
        optimizer = torch.optim.AdamW(
            head.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
        )
        num_steps = settings.epochs * steps_per_epoch
        schedule = LambdaLR(optimizer, lambda step: rate_at(step, num_steps))
        for epoch in range(settings.epochs):
            order = torch.randperm(len(train), generator=generator(self.seed, epoch)).numpy()
            for part in range(steps_per_epoch):
                videos = train[order[part * settings.batch_size :][: settings.batch_size]]
                for numbers, tokens in same_lengths([tokens_of(int(video)) for video in videos]):
                    targets = torch.from_numpy(labels[videos[numbers]]).to(device)
                    loss = F.cross_entropy(head(tokens.to(device)), targets, reduction="sum")
                    (loss / len(videos)).backward()
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()


class StandardTokens:
    """The tokens ``(N, D)`` of a video by its number, each of the D numbers with mean 0 and
    variance 1 over the tokens of ``train``.

    Without it, the tokens of a model that learned little are all alike after the head's own norm.
    """

    def __init__(self, pool: VideoPool, train: np.ndarray) -> None:
        self.pool = pool
        width = pool.vectors.shape[1]
        count, total, squares = 0, torch.zeros(width).double(), torch.zeros(width).double()
        # Counted from one video's mean, so that squares do not drown in what all have in common.
        start = pool.tokens(int(train[0])).double().mean(0)
        for video in train:
            tokens = pool.tokens(int(video)).double()
            count += len(tokens)
            total += (tokens - start).sum(0)
            squares += (tokens - start).square().sum(0)
        mean = total / count
        scale = (squares / count - mean.square()).clamp_min(0).sqrt()
        self.mean = (mean + start).float()
        self.scale = torch.where(scale > SMALLEST_SCALE * self.mean.abs(), scale, 1.0).float()

    def __call__(self, video: int) -> Tensor:
        return (self.pool.tokens(video) - self.mean) / self.scale


def new_head(width: int, num_classes: int, seed: int) -> AttentiveHead:
    """A head for tokens of ``width``, with weights that ``seed`` draws."""
    fitting = [n for n in _NUM_HEADS if width % n == 0 and width // n >= _LEAST_HEAD_WIDTH]
    config = HieraConfig(
        embed_dim=width,
        depths=[1],
        num_heads=[max(fitting, default=1)],
        num_query_pool=0,
        masked_unit_attention=[False],
        num_labels=num_classes,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, num_classes, width) % 2**63)
        return AttentiveHead(config)


def rate_at(step: int, num_steps: int) -> float:
    """The share of the peak rate at a step: a line up from 0, then half a cosine to 0."""
    warmup = max(1, round(_WARMUP_SHARE * num_steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, num_steps - warmup)))


def same_lengths(videos: Sequence[Tensor]) -> Iterator[tuple[np.ndarray, Tensor]]:
    """``videos`` ``(N, D)`` in stacks ``(B, N, D)`` of equal N, each with the numbers of its
    videos: nothing is padded, so that no token is attended to that is not there."""
    by_length: defaultdict[int, list[int]] = defaultdict(list)
    for number, tokens in enumerate(videos):
        by_length[len(tokens)].append(number)
    for length, numbers in by_length.items():
        most = max(1, _MOST_TOKENS // length)
        for first in range(0, len(numbers), most):
            some = numbers[first : first + most]
            yield np.array(some), torch.stack([videos[number] for number in some])
