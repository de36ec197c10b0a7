"""`hiera-video probe`: three probes on features, what they learn from, and what they write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from hiera_video.commands.features import FeatureRun
from hiera_video.commands.features import start as extract_features
from hiera_video.commands.probe import ProbeRun, start
from hiera_video.config.machinery import parse_settings
from hiera_video.config.probe_groups import LinearSettings, NeighbourSettings
from hiera_video.features.attentive_probe import (
    StandardTokens,
    new_head,
    rate_at,
    same_lengths,
)
from hiera_video.features.folds import Split, held_out_parts, splits_of
from hiera_video.features.labelled import read_labelled
from hiera_video.features.linear_probe import LinearProbe
from hiera_video.features.nearest_probe import NearestProbe
from hiera_video.features.pool import VideoPool, make_pool, standardised
from hiera_video.features.probe_figures import Probing, never_learned
from tests.features.labelled_features import clusters, write_features
from tests.support import (
    CPU_ENVIRONMENT,
    HANG_SECONDS,
    ROOT,
    TinyDataset,
    files_below,
    read_manifest,
    write_manifest,
)

QUICK = ["attentive.epochs=20", "num_resamples=100"]


def probe(features: Path, output_dir: Path, *more: str) -> dict[str, Any]:
    arguments = [f"features={features}", f"output_dir={output_dir}", *QUICK, *more]
    return start(parse_settings(ProbeRun, arguments))


def pool_of(folder: Path, val: Path | None = None) -> VideoPool:
    learned = read_labelled(folder, "features")
    return make_pool(learned, read_labelled(val, "val_features") if val else None)


class TestWhatIsLearned:
    def test_features_that_tell_classes_apart(self, tmp_path: Path) -> None:
        videos, labels = clusters(30, spread=0.05)
        folder = write_features(tmp_path / "f", videos, labels)
        report = probe(folder, tmp_path / "out", "folds=2", "attentive.lr=0.01")
        assert list(report["probes"]) == ["knn", "linear", "attentive"]
        assert report["classes"] == ["2", "10", "18"]
        for figures in report["probes"].values():
            for name in ("top1", "balanced_accuracy", "macro_f1"):
                assert figures[name] == {"value": 1.0, "low": 1.0, "high": 1.0}
            assert figures["top1_above_largest_class"]["value"] == pytest.approx(2 / 3, abs=1e-6)
        assert report["chance"] == pytest.approx(1 / 3, abs=1e-6)
        assert report["largest_class"]["top1"]["value"] == pytest.approx(1 / 3, abs=1e-6)

    def test_features_that_say_nothing(self, tmp_path: Path) -> None:
        """Choosing by held-out videos, never by the tested ones, leaves every probe at chance."""
        random = torch.Generator().manual_seed(0)
        videos = [torch.randn(1, 8, generator=random) for _ in range(120)]
        labels = [str(number % 2) for number in range(120)]
        folder = write_features(tmp_path / "f", videos, labels)
        report = probe(folder, tmp_path / "out", "attentive.epochs=5")
        for figures in report["probes"].values():
            assert 0.35 < figures["top1"]["value"] < 0.65

    def test_attention_finds_the_token_that_tells(self, tmp_path: Path) -> None:
        """Of five tokens one is marked, and only its sign tells; the others have signs, too."""
        random = torch.Generator().manual_seed(0)
        videos: list[Tensor] = []
        labels = [str(number % 2) for number in range(96)]
        for number in range(96):
            tokens = torch.randn(5, 16, generator=random)
            signs = torch.randn(5, 1, generator=random).sign()
            signs[number % 5] = 2.0 * (number % 2) - 1.0
            tokens[:, :4], tokens[number % 5, :4] = -1.0, 3.0
            tokens[:, 4:8] = 2 * signs
            videos.append(tokens)
        folder = write_features(tmp_path / "f", videos, labels)
        report = probe(
            folder, tmp_path / "out", "attentive.lr=0.01", "attentive.epochs=40", "folds=2"
        )
        top1 = {name: figures["top1"]["value"] for name, figures in report["probes"].items()}
        assert top1["attentive"] >= 0.9
        assert max(top1["knn"], top1["linear"]) <= 0.75

    def test_neighbours_as_a_slow_loop_counts_them(self, tmp_path: Path) -> None:
        videos, labels = clusters(40, spread=1.0)
        pool = pool_of(write_features(tmp_path / "f", videos, labels))
        split = Split(np.arange(30), np.arange(30, 40))
        settings = NeighbourSettings(k=[5], temperature=0.2)
        scores, choice = NearestProbe(settings)(pool, split, [])
        assert choice.value == 5
        means = [video.double().mean(0) for video in videos if video is not None]
        for row, video in enumerate(split.test):
            cosines = [
                (torch.cosine_similarity(means[video], means[other], dim=0).item(), other)
                for other in split.train
            ]
            votes = np.zeros(3)
            for cosine, other in sorted(cosines, reverse=True)[:5]:
                votes[["2", "10", "18"].index(labels[other])] += np.exp(cosine / 0.2)
            assert scores[row] == pytest.approx(votes / votes.sum(), abs=1e-6)

    def test_the_linear_probe_is_logistic_regression_on_standardised_means(
        self, tmp_path: Path
    ) -> None:
        videos, labels = clusters(40, spread=1.0)
        pool = pool_of(write_features(tmp_path / "f", videos, labels))
        split = Split(np.arange(30), np.arange(30, 40))
        scores, choice = LinearProbe(LinearSettings(c=[0.3]))(pool, split, [])
        assert choice.value == 0.3
        means = np.stack([video.double().mean(0) for video in videos if video is not None])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=1000))
        model.fit(means[:30], pool.labels[:30])
        assert scores == pytest.approx(model.predict_proba(means[30:]), abs=1e-4)

    def test_neighbours_of_features_that_all_point_one_way(self, tmp_path: Path) -> None:
        videos, labels = clusters(40, spread=0.2)
        shifted = [video + 1e4 * torch.eye(8)[0] for video in videos if video is not None]
        pool = pool_of(write_features(tmp_path / "f", shifted, labels))
        split = Split(np.arange(30), np.arange(30, 40))
        right = []
        for standardize in (False, True):
            settings = NeighbourSettings(k=[3], standardize=standardize, temperature=1e-5)
            scores, _ = NearestProbe(settings)(pool, split, [])
            right.append(int((scores.argmax(1) == pool.labels[split.test]).sum()))
        assert right[0] < right[1] == 10

    def test_what_does_not_vary_is_nothing(self) -> None:
        train = np.array([[0.1, 1.0, 0.0], [0.1, 3.0, 0.0]], np.float32)
        ours, test = standardised(train, np.array([[0.3, 2.0, 0.5]], np.float32))
        assert ours.tolist() == [[0, -1, 0], [0, 1, 0]]
        assert test[0].tolist() == pytest.approx([0.2, 0, 0.5], abs=1e-6)

    def test_k_and_the_penalty_are_chosen_by_held_out_videos(self, tmp_path: Path) -> None:
        videos, labels = clusters(60, spread=1.0)
        pool = pool_of(write_features(tmp_path / "f", videos, labels))
        split = Split(np.arange(45), np.arange(45, 60))
        held_out = held_out_parts(pool, split.train, 5, seed=0)
        assert len(held_out) == 5
        for one, ks in ((NearestProbe(NeighbourSettings(k=[20, 1, 36, 37])), [1, 20, 36]),):
            _, choice = one(pool, split, held_out)
            assert [tried["value"] for tried in choice.tried] == ks  # 37 are more than 36 videos
            for tried in choice.tried:
                right = 0
                for part in held_out:
                    alone = NearestProbe(NeighbourSettings(k=[tried["value"]]))
                    scores, _ = alone(pool, part, [])
                    right += int((scores.argmax(1) == pool.labels[part.test]).sum())
                assert tried["accuracy"] == pytest.approx(right / 45, abs=1e-9)
            best = max(tried["accuracy"] for tried in choice.tried)
            equal = [tried for tried in choice.tried if tried["accuracy"] == best]
            assert choice.value == min(equal, key=lambda tried: tried["loss"])["value"]
        _, choice = LinearProbe(LinearSettings(c=[1e-6, 1.0]))(pool, split, held_out)
        assert [tried["value"] for tried in choice.tried] == [1e-6, 1.0]
        assert held_out_parts(pool, np.arange(3), 5, seed=0) == []  # one video of each class

    def test_tokens_are_standardised_by_those_to_learn_from(self, tmp_path: Path) -> None:
        videos, labels = clusters(12, spread=1.0)
        shifted = [video + 100 for video in videos if video is not None]
        for tokens in shifted:
            tokens[:, 3] = 5.0  # which stays what it is
        pool = pool_of(write_features(tmp_path / "f", shifted, labels))
        train = np.arange(2, 8)
        tokens_of = StandardTokens(pool, train)
        scaler = StandardScaler().fit(np.concatenate([shifted[video].double() for video in train]))
        for video in (0, 5):
            expected = scaler.transform(shifted[video].double())
            assert tokens_of(video).numpy() == pytest.approx(expected, abs=1e-4)

    def test_no_token_is_padded(self) -> None:
        head = new_head(8, 3, seed=0).eval()
        random = torch.Generator().manual_seed(0)
        videos = [torch.randn(1 + number % 3, 8, generator=random) for number in range(7)]
        logits = torch.empty(7, 3)
        with torch.inference_mode():
            for numbers, tokens in same_lengths(videos):
                logits[numbers.tolist()] = head(tokens)
            alone = torch.cat([head(video[None]) for video in videos])
        torch.testing.assert_close(logits, alone)
        assert len(list(same_lengths([torch.zeros(40_000, 1)] * 3))) == 3

    def test_the_rate_rises_and_falls(self) -> None:
        rates = [rate_at(step, 100) for step in range(101)]
        assert rates[9] == rates[10] == 1.0
        assert rates[:10] == sorted(rates[:10])
        assert rates[10:] == sorted(rates[10:], reverse=True)
        assert rates[100] == pytest.approx(0)


class TestFolds:
    @pytest.fixture
    def grouped(self, tmp_path: Path) -> Path:
        videos, labels = clusters(60, spread=1.0)
        groups = [f"g{number // 4 % 12}" for number in range(60)]
        return write_features(tmp_path / "f", videos, labels, groups)

    @pytest.mark.parametrize(("folds", "number"), [(None, 5), (3, 3), ("groups", 12)])
    def test_no_group_is_split(self, grouped: Path, folds: Any, number: int) -> None:
        pool = pool_of(grouped)
        splits = splits_of(pool, folds, seed=0)
        assert len(splits) == number
        assert sorted(np.concatenate([split.test for split in splits])) == list(range(60))
        for split in splits:
            assert sorted([*split.train, *split.test]) == list(range(60))
            assert not set(pool.units[split.train]) & set(pool.units[split.test])
            for part in held_out_parts(pool, split.train, 5, seed=0):
                assert set(part.train) | set(part.test) == set(split.train)
                assert not set(pool.units[part.train]) & set(pool.units[part.test])

    def test_without_groups_classes_have_their_shares(self, tmp_path: Path) -> None:
        videos, labels = clusters(60, spread=1.0)
        pool = pool_of(write_features(tmp_path / "f", videos, labels))
        for split in splits_of(pool, 4, seed=3):
            assert np.bincount(pool.labels[split.test]).tolist() == [5, 5, 5]

    def test_a_seed_draws_them(self, grouped: Path) -> None:
        pool = pool_of(grouped)
        drawn = [[split.test.tolist() for split in splits_of(pool, 3, seed)] for seed in (0, 0, 1)]
        assert drawn[0] == drawn[1] != drawn[2]

    def test_classes_that_a_fold_cannot_learn_are_told(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        videos, labels = clusters(30, spread=0.05)
        groups = [
            "rare" if label == "18" else f"g{number % 4}" for number, label in enumerate(labels)
        ]
        folder = write_features(tmp_path / "f", videos, labels, groups)
        report = probe(folder, tmp_path / "out", "folds=groups", "probes=[linear]")
        assert report["never_learned"] == {"18": 10}
        assert report["probes"]["linear"]["top1"]["value"] == pytest.approx(2 / 3, abs=1e-6)
        told = "10 videos are of classes that their fold cannot learn: 18 (10)"
        assert told in capsys.readouterr().out
        rows = pq.read_table(tmp_path / "out/predictions.parquet").to_pylist()
        assert {row["scores"][2] for row in rows if row["label"] == "18"} == {0.0}

    def test_nothing_is_missed_where_all_is_learned(self, grouped: Path) -> None:
        pool = pool_of(grouped)
        probing = Probing(pool, splits_of(pool, 3, 0), parse_settings(ProbeRun, ["features=f"]), [])
        assert never_learned(probing) == {}


class TestWhatIsWritten:
    def test_a_row_per_video_and_probe(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        videos, labels = clusters(31, spread=0.5)
        videos[4] = None
        groups = [f"g{number // 3}" for number in range(31)]
        folder = write_features(tmp_path / "f", videos, labels, groups)
        report = probe(folder, tmp_path / "out", "folds=2")
        assert json.loads((tmp_path / "out/probe.json").read_text()) == report
        assert (report["num_videos"], report["num_failed"], report["num_groups"]) == (31, 1, 11)
        assert (report["num_folds"], sum(report["num_learned_from"])) == (2, 30)
        assert (report["checkpoint"], report["layer"]) == ("runs/mine/best", "pooled")
        assert report["failed"] == [{"path": "f/004.mp4", "reason": "the file is empty (0 bytes)"}]
        table = pq.read_table(tmp_path / "out/predictions.parquet")
        assert table.column_names == ["path", "probe", "fold", "label", "prediction", "scores"]
        rows = table.to_pylist()
        assert [row["probe"] for row in rows] == ["knn"] * 31 + ["linear"] * 31 + ["attentive"] * 31
        assert [row["label"] for row in rows] == labels * 3
        for name, figures in report["probes"].items():
            own = [row for row in rows if row["probe"] == name]
            right = sum(row["label"] == row["prediction"] for row in own)
            assert figures["top1"]["value"] == pytest.approx(right / 31, abs=1e-6)
            assert own[4]["prediction"] is own[4]["scores"] is None
            for row in own[:4]:
                best = report["classes"][int(np.argmax(row["scores"]))]
                assert (row["prediction"], sum(row["scores"])) == (best, pytest.approx(1))
        assert len(report["probes"]["knn"]["k"]) == len(report["probes"]["linear"]["c"]) == 2
        said = capsys.readouterr().out
        assert "31 videos in 11 groups, 3 classes, 2 folds; layer pooled of runs/mine/best" in said
        assert "1 videos have no features, and count as wrong" in said
        value = report["probes"]["linear"]["top1"]
        assert f"linear         {value['value']:.3f} [{value['low']:.3f}, " in said
        assert "chance         0.333                 0.333\n" in said
        assert "in brackets: 95 % intervals, bootstrap over 11 groups" in said

    def test_other_features_are_tested(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        videos, labels = clusters(30, spread=0.05)
        folder = write_features(tmp_path / "f", videos, labels, [f"g{n % 6}" for n in range(30)])
        videos, labels = clusters(6, spread=0.05, seed=7)
        val = write_features(tmp_path / "val", videos, labels, ["g5"] * 6)
        report = probe(folder, tmp_path / "out", f"val_features={val}", "attentive.lr=0.01")
        assert (report["num_videos"], report["num_learned_from"]) == (6, [30])
        assert (report["num_folds"], report["num_groups"]) == (None, 1)
        assert report["probes"]["attentive"]["top1"] == {"value": 1.0, "low": None, "high": None}
        paths = pq.read_table(tmp_path / "out/predictions.parquet")["path"].to_pylist()
        assert paths == [f"val/00{number}.mp4" for number in range(6)] * 3
        assert "what is tested may have been seen: 1 (such as 'g5')" in caplog.text

    def test_maps_are_tokens(self, tmp_path: Path) -> None:
        videos, labels = clusters(12, spread=0.05, width=48)
        maps = [video.reshape(-1, 2, 3, 1, 8) for video in videos if video is not None]
        pool = pool_of(write_features(tmp_path / "f", maps, labels, layer="stage2"))
        assert torch.equal(pool.tokens(2), maps[2].reshape(18, 8))
        mean = maps[2].reshape(18, 8).mean(0)
        assert pool.vectors[2] == pytest.approx((mean / mean.norm()).numpy(), abs=1e-6)
        report = probe(tmp_path / "f", tmp_path / "out", "folds=2", "probes=[attentive]")
        assert report["layer"] == "stage2"
        assert list(report["probes"]) == ["attentive"]

    def test_tokens_that_memory_does_not_hold_are_read_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        videos, labels = clusters(20, spread=0.5)
        folder = write_features(tmp_path / "f", videos, labels)
        quick = ["probes=[attentive]", "folds=2", "attentive.epochs=3"]
        kept = probe(folder, tmp_path / "kept", *quick)
        monkeypatch.setattr("hiera_video.features.labelled._MOST_KEPT_BYTES", 0)
        assert probe(folder, tmp_path / "read", *quick) == kept

    def test_the_same_seed_gives_the_same_bytes(self, tmp_path: Path) -> None:
        videos, labels = clusters(30, spread=1.0)
        folder = write_features(tmp_path / "f", videos, labels)
        written = []
        for name, seed in (("a", 0), ("b", 0), ("c", 1)):
            probe(folder, tmp_path / name, f"seed={seed}", "folds=2", "attentive.epochs=3")
            written.append(
                [(tmp_path / name / file).read_bytes() for file in files_below(tmp_path / name)]
            )
        assert files_below(tmp_path / "a") == ["predictions.parquet", "probe.json"]
        assert written[0] == written[1]
        assert written[0] != written[2]


def test_from_videos_to_the_table_in_processes(
    tiny_dataset: TinyDataset, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    rows = [
        (tiny_dataset.folder / path, label, f"g{number // 6}")
        for number, (path, label) in enumerate(read_manifest(tiny_dataset.train))
    ]
    manifest = write_manifest(tmp_path / "all.csv", rows, "path,label,group")
    arguments = [f"checkpoint={tiny_checkpoint}", f"data.manifest={manifest}"]
    arguments += [f"output_dir={tmp_path / 'features'}", "data.num_workers=0"]
    extract_features(parse_settings(FeatureRun, arguments))
    words = ["-m", "hiera_video", "probe", f"features={tmp_path / 'features'}", "folds=2"]
    words += ["attentive.epochs=2", "num_resamples=100"]
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **CPU_ENVIRONMENT},
        timeout=HANG_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    out = tmp_path / "features/probe"
    assert f"-> {out}/probe.json, {out}/predictions.parquet\n" in done.stdout
    report = json.loads((out / "probe.json").read_text())
    assert (report["checkpoint"], report["num_groups"]) == (str(tiny_checkpoint), 6)
    assert report["classes"] == sorted(tiny_dataset.classes)
    assert report["probes"]["linear"]["top1"]["value"] >= 0.9  # colours: any features tell them
