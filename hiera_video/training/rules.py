"""Which settings a resumed run may change: a rule for every setting of training and pre-training.

``resume.py`` follows these rules, and ``docs/scaling.md`` shows them.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from hiera_video.config.help import all_fields
from hiera_video.config.machinery import Settings


class Rule(NamedTuple):
    """How a resumed run treats a changed setting; ``keys`` may contain ``*``.

    ``free``: the new value holds from here on; the run's progress does not depend on it.
    ``converted``: the new value holds from here on, and progress is kept in units that do not
    depend on it, or is converted. ``refused``: the run does not resume. ``between_passes``: refused
    in the middle of a pass. ``new_best``: checkpoints that were measured before are not compared
    with later ones.
    """

    keys: str
    kind: Literal["free", "converted", "refused"]
    why: str
    between_passes: bool = False
    new_best: bool = False


#: The first one that fits counts.
RULES = (
    Rule("output_dir", "free", "with `resume=DIR`; logs and the best checkpoint begin anew there"),
    Rule("resume", "free", "where to go on from"),
    Rule("init_from", "free", "not read again: weights are the checkpoint's"),
    Rule("seed", "converted", "the next pass has the new order and clips", between_passes=True),
    Rule("precision", "free", "weights and optimizer are fp32 in all of them"),
    Rule("compile", "free", "computes the same"),
    Rule("trackers", "free", "figures go there from here on"),
    Rule("task", "refused", "it would be another model"),
    Rule(
        "data.train.manifest",
        "converted",
        "the same videos in the same order, wherever they are, go on; other videos begin with the "
        "next pass; other labels hold from here on, and other classes are another model: refused",
        between_passes=True,
    ),
    Rule(
        "data.val.manifest",
        "converted",
        "with other videos or labels, earlier checkpoints are not compared with those to come",
        new_best=True,
    ),
    Rule("data.target_columns", "refused", "it would be another model"),
    Rule("data.sampler", "converted", "the next pass has the new order", between_passes=True),
    Rule("data.*", "free", "where and how videos are read"),
    Rule("clip.num_frames", "refused", "positions of the model are for this size"),
    Rule("clip.crop_size", "refused", "positions of the model are for this size"),
    Rule(
        "clip.*",
        "converted",
        "clips are taken so from here on; earlier checkpoints are not compared with those to come",
        new_best=True,
    ),
    Rule("augment.*", "free", "views are made so from here on"),
    Rule("model.drop_path_rate", "free", "holds from here on"),
    Rule("model.head_dropout", "free", "holds from here on"),
    Rule("model.*", "refused", "it would be another model"),
    Rule(
        "train.epochs",
        "converted",
        "the run stands at the same epoch; the rate is that of the new schedule there",
    ),
    Rule("train.batch_size", "converted", "the pass goes on with the next video"),
    Rule("train.accumulate_steps", "converted", "the pass goes on with the next video"),
    Rule(
        "train.repeated_sampling",
        "converted",
        "the run stands at the same epoch, which counts clips per video; it has to divide the "
        "epochs that are left",
        between_passes=True,
    ),
    Rule("train.ema_decay", "free", "an average that is new begins with the weights of now"),
    Rule("train.log_steps", "free", "what was counted since the last line goes into the next one"),
    Rule("train.*", "free", "holds from here on"),
    Rule("optimizer.name", "refused", "its state would not fit"),
    Rule(
        "optimizer.layer_decay",
        "refused",
        "from 1 or to 1: its state would not fit; other values hold from here on",
    ),
    Rule("optimizer.*", "free", "the new schedule and decay hold from here on"),
    Rule("evaluate.batch_size", "free", "computes the same"),
    Rule(
        "evaluate.best_by",
        "converted",
        "the best is the best by the new figure, of the checkpoints that are still there",
    ),
    Rule(
        "evaluate.*",
        "converted",
        "earlier checkpoints are not compared with those to come",
        new_best=True,
    ),
    Rule(
        "images.train.manifest",
        "converted",
        "other images begin with a pass of their own; with or without images is refused",
    ),
    Rule("images.batch_size", "converted", "images go on with the next one"),
    Rule("images.model.head_dropout", "free", "holds from here on"),
    Rule("images.model.drop_path_rate", "free", "has no effect: the encoder has that of `model`"),
    Rule("images.model.*", "refused", "it would be another model"),
    Rule("images.clip.crop_size", "refused", "positions of the model are for this size"),
    Rule("images.*", "free", "holds from here on; clips decide which checkpoint is best"),
)
#: What is no setting, but may be another when a run goes on.
_PROCESSES = Rule(
    "number of processes", "converted", "the pass goes on with the next video; any kind of sharding"
)


def rule_of(key: str) -> Rule:
    """The rule for a setting.

    Raises:
        KeyError: if it has none.
    """
    for rule in RULES:
        if fnmatchcase(key, rule.keys):
            return rule
    raise KeyError(key)


def settings_of(run: type[Settings]) -> list[str]:
    """All settings of a kind of run, fields of its models included."""
    return [key for key, _ in all_fields(run)]


def rules_table() -> str:
    """The rules as a table in Markdown."""
    lines = ["| setting | changed when a run goes on | |", "|---|---|---|"]
    for rule in (*RULES, _PROCESSES):
        name = rule.keys if rule is _PROCESSES else f"`{rule.keys}`"
        within = "; refused within a pass" if rule.between_passes else ""
        lines.append(f"| {name} | {rule.kind}{within} | {rule.why} |")
    return "\n".join(lines) + "\n"
