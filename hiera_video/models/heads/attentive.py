"""A head that learns where to look: the attentive probe of V-JEPA.

Axes: B batch, N tokens of the last stage, D width of the last stage, h heads, d width of a head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from hiera_video.models.config import HieraConfig
from hiera_video.models.encoder import Mlp
from hiera_video.models.heads.head import Head


class AttentiveHead(Head):
    """A learned query attends to the tokens; a linear layer classifies the result.

    After "Attentive probing" in Revisiting Feature Prediction (arXiv 2404.08471, Sec. 4): the query
    has no projection; the attended values are added to it; then come a two-layer MLP, a norm and
    the linear layer. Here the tokens are normalised first, because Hiera's last stage, unlike a
    ViT, does not end in a norm. The number of attention heads and the MLP ratio are those of the
    encoder's last stage.
    """

    takes_tokens = True
    label_weight = "linear.weight"

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        width = config.stage_dims[-1]
        self.num_heads = config.num_heads[-1]
        self.query = nn.Parameter(torch.zeros(width))
        self.token_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.key_value = nn.Linear(width, 2 * width)
        self.mlp = Mlp(width, int(width * config.mlp_ratio), config.hidden_act)
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.head_dropout)
        self.linear = nn.Linear(width, config.num_labels)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(B, N, D) -> (B, num_labels)``."""
        key_value = self.key_value(self.token_norm(tokens))
        key, value = rearrange(key_value, "b n (two h d) -> two b h n d", two=2, h=self.num_heads)
        query_heads = rearrange(self.query, "(h d) -> h 1 d", h=self.num_heads)
        query = query_heads.to(key.dtype).expand(len(tokens), -1, -1, -1)
        attended = F.scaled_dot_product_attention(query, key, value)
        pooled = self.query + rearrange(attended, "b h 1 d -> b (h d)")
        return self.linear(self.dropout(self.norm(self.mlp(pooled))))

    def last_layer(self) -> nn.Module:
        return self.linear
