"""What crosses from data to models checks itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from hiera_video.batch import ClipBatch, Failure


def make_batch(num_clips: int = 2, **changes: object) -> ClipBatch:
    values: dict[str, object] = {
        "pixel_values": torch.randint(0, 256, (num_clips, 3, 4, 8, 8), dtype=torch.uint8),
        "rows": torch.arange(num_clips),
        "start_seconds": torch.zeros(num_clips, dtype=torch.float64),
        "end_seconds": torch.ones(num_clips, dtype=torch.float64),
        "targets": {"labels": torch.arange(num_clips), "boxes": torch.rand(num_clips, 2, 4)},
    }
    return ClipBatch(**(values | changes))  # type: ignore[arg-type]


def test_shapes_and_types_must_fit() -> None:
    with pytest.raises(ValueError, match=r"rows has shape \(3,\), wanted \(2,\)"):
        make_batch(rows=torch.arange(3))
    for wrong in (torch.rand(3, 2), torch.tensor(0)):
        with pytest.raises(ValueError, match=r"targets\['boxes'\] has shape \(.*\), wanted \(2, "):
            make_batch(targets={"boxes": wrong})
    with pytest.raises(ValueError, match="wanted uint8"):
        make_batch(pixel_values=torch.zeros(2, 3, 4, 8, 8))


def test_concatenation_keeps_clips_and_failures_in_order() -> None:
    failed = ClipBatch.of_failure(Failure(7, "b.mp4", "broken"), (3, 4, 8, 8))
    first, last = make_batch(2), make_batch(1)
    batch = ClipBatch.concatenate([first, failed, last])
    assert len(batch) == 3
    assert batch.pixel_values.equal(torch.cat([first.pixel_values, last.pixel_values]))
    assert batch.rows.tolist() == [0, 1, 0]
    assert batch.targets.keys() == {"labels", "boxes"}  # of those that have clips
    for name, target in batch.targets.items():
        assert target.equal(torch.cat([first.targets[name], last.targets[name]]))
    assert [failure.path for failure in batch.failures] == ["b.mp4"]


def test_workers_join_clips_in_memory_that_is_shared() -> None:
    # Joined in a worker's own memory first, batches would leave holes in it that only ever grow.
    batches: Any = [make_batch() for _ in range(4)]
    loader = DataLoader(batches, batch_size=2, num_workers=1, collate_fn=is_joined_in_shared_memory)
    assert list(loader) == [True, True]
    assert not is_joined_in_shared_memory(batches)


def is_joined_in_shared_memory(batches: list[ClipBatch]) -> bool:
    return ClipBatch.concatenate(batches).pixel_values.is_shared()


def test_workers_share_the_memory_of_pixels_alone() -> None:
    """Each shared tensor costs a file descriptor and a connection, however small it is."""
    sent = make_batch(3, failures=[Failure(7, "b.mp4", "broken")])
    (batch,) = DataLoader([sent], batch_size=None, num_workers=1)  # type: ignore[arg-type]
    tensors, expected = (
        {name: value for name, value in (vars(b) | b.targets).items() if isinstance(value, Tensor)}
        for b in (batch, sent)
    )
    assert [name for name, tensor in tensors.items() if tensor.is_shared()] == ["pixel_values"]
    others = {"rows", "start_seconds", "end_seconds", "labels", "boxes"}
    assert tensors.keys() == expected.keys() == {"pixel_values"} | others
    for name, tensor in tensors.items():
        assert tensor.dtype == expected[name].dtype
        assert torch.equal(tensor, expected[name])
    assert batch.failures == sent.failures


def test_a_batch_of_failures_has_no_clips() -> None:
    failed = ClipBatch.of_failure(Failure(7, "b.mp4", "broken"), (3, 4, 8, 8))
    both = ClipBatch.concatenate([failed, failed])
    assert (len(both), both.targets) == (0, {})


def test_pinning_takes_pixels_and_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU there is nothing to pin memory for: a copy stands for pinned memory."""
    made: list[Tensor] = []

    def pin(tensor: Tensor) -> Tensor:
        made.append(tensor.clone())
        return made[-1]

    monkeypatch.setattr(Tensor, "pin_memory", pin)
    batch = make_batch(failures=[Failure(7, "b.mp4", "broken")])
    pinned = batch.pin_memory()
    for tensor in (pinned.pixel_values, *pinned.targets.values()):
        assert any(tensor is copy for copy in made)
    assert pinned.targets["boxes"].equal(batch.targets["boxes"])
    assert pinned.failures == batch.failures


def test_normalisation_is_per_channel() -> None:
    batch = make_batch(2)
    mean, std = (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)
    expected = torch.stack(
        [(batch.pixel_values[:, c].double() / 255 - mean[c]) / std[c] for c in range(3)], dim=1
    )
    normalized = batch.normalized(torch.device("cpu"), mean, std)
    assert normalized.dtype == torch.float32
    torch.testing.assert_close(normalized.double(), expected, rtol=0, atol=1e-5)
