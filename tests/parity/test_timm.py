"""Window-aware position embeddings against ``timm``'s ``abswin`` models."""

from __future__ import annotations

from typing import Any

import torch
from timm.models.hiera import Hiera

from hiera_video.models.config import HieraConfig
from hiera_video.models.embeddings import PositionEmbedding
from hiera_video.models.mask_units import TokenGrid
from tests.parity.compare import assert_equal


def test_window_aware_positions() -> None:
    size = (96, 64)
    theirs: Any = Hiera(
        img_size=size,
        embed_dim=24,
        stages=(1, 1, 1, 1),
        abs_win_pos_embed=True,
        global_pos_size=(5, 7),
    )
    config = HieraConfig(image_size=list(size), embed_dim=24, global_position_size=[5, 7])
    ours = PositionEmbedding(config)
    with torch.no_grad():
        ours.joint.copy_(theirs.pos_embed[0].permute(1, 2, 0))
        ours.window.copy_(theirs.pos_embed_win[0].permute(1, 2, 0))
        grid = TokenGrid.of_input(config, size)
        wanted = theirs._pos_embed(torch.zeros(1, 24 * 16, 24))
        assert_equal(grid.reroll(ours(grid)).flatten(1, 2), wanted)
