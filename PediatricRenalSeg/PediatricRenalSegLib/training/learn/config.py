"""What a training run is told, read from a JSON file."""

import json
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...networks.pipeline import CROP_DIVISORS, METHODS
from ...pipelines.canvas import DEFAULT_CANVAS
from ..data.patient import KINDS

AUGMENTATIONS = ("varied", "none", "nnunet")
"""See ``TrainingConfig.augmentation``."""
CHOICES = {
    "method": tuple(METHODS),
    "crop": tuple(CROP_DIVISORS),
    "augmentation": AUGMENTATIONS,
    "keep": ("best", "last"),
    "trainable": ("all", "outer", "decoder", "frozen"),
    "restored": ("logits", "probabilities"),
}
"""By key: the words that it may have."""
PATHS = ("store", "output", "reference_mask", "start")
"""Keys that are paths."""
STAGES = ("pose", "crop_stage", "unet")
"""Keys that are a ``StageConfig``."""


@dataclass(frozen=True)
class StageConfig:
    """Length of one of the three trainings; an epoch is a fixed number of batches."""

    epochs: int = 50
    batches: int = 100
    batch_size: int = 16
    """Slices, of all processes together."""


@dataclass(frozen=True)
class TrainingConfig:
    """A training run. Paths are relative to the configuration file."""

    store: Path
    """Folder of prepared patients."""
    output: Path
    """Folder for checkpoints and logs."""
    reference_mask: Path | None = None
    """``.npy`` with the ``(256, 256)`` foreground mask of the reference subject; needed where the pose STN is trained
    from the beginning."""
    seed: int = 0
    workers: int = 0
    """Processes that augment slices while the network learns, 0 for none. An augmented slice takes 14 ms of one
    processor core, more than a GPU needs to learn it."""
    bfloat16: bool = False
    """Mixed precision; twice as fast on processors with bfloat16 arithmetic."""

    method: str = "pose_and_crop"
    """``unet`` alone, ``pose`` (with the pose STN) or ``pose_and_crop`` (with both): tables 2 and 3 of the paper."""
    crop: str = "half"
    """U-Net's input as a part of the slice; ``full`` for the methods without crop STN."""
    features: int = 24
    """Of the U-Net's first level."""
    pose: StageConfig = field(default_factory=StageConfig)
    crop_stage: StageConfig = field(default_factory=StageConfig)
    unet: StageConfig = field(default_factory=lambda: StageConfig(epochs=200))
    """At most so many epochs; the paper has at least 50, then early stopping (``patience``)."""
    keep: str = "best"
    """The U-Net that a training ends with: the ``best`` validated one, or the ``last``, as nnU-Net does; then the
    training does not end early. Where the validated patients are not like those that matter, the best one misleads: for
    trainings that went on from generated children to real scans, validated on generated children, it was the start."""
    patience: int = 20
    """U-Net epochs without a better validation Dice that end the training, after the first 50. Where weights are
    averaged (``averaged``), epochs before the average begins do not count."""

    start: Path | None = None
    """Model file whose weights are trained on. Its STNs stay unless ``pose`` or ``crop_stage`` are given."""
    trainable: str = "all"
    """What the U-Net of ``start`` may change (table 1 of the paper): ``all``, the ``decoder``, ``outer`` (first two
    blocks of the encoder, last two of the decoder), or nothing (``frozen``: it is validated and kept)."""

    shares: dict[str, float] = field(default_factory=lambda: {"generated": 0.3, "composite": 0.4, "real": 0.3})
    """Part of every batch by the kind of its patients, and of the validated slices; kinds that a store lacks leave
    theirs to the others."""
    augmentation: str = "varied"
    """``varied`` (``augment.Augmentation``), ``nnunet`` (nnU-Net's, the baseline of the paper) or ``none``."""
    restored: str = "logits"
    """What goes back through the inverse transforms to be compared with the labels: ``probabilities`` as in the paper,
    or ``logits``. Interpolation hides a checkerboard of probabilities 0 and 1, which then have no gradient to change:
    two U-Nets with an input of half size stayed at a kidney Dice of 0.57 and 0.58, with logits one had 0.91."""

    learning_rate: float = 0.01
    """Of all networks, as in the paper."""
    poly_exponent: float = 0.9
    """Of the poly schedule, nnU-Net's value. The paper has the schedule for the U-Net only. The STNs get it too: at a
    constant rate the validated pose loss kept jumping between 9 and 28 percent from one epoch to the next."""
    stn_momentum: float = 0.9
    """The paper gives none for the STNs. It also has 1,250 batches an epoch; with the tenth of that, SGD without
    momentum does not arrive."""
    unet_momentum: float = 0.99
    """Nesterov's, as in the paper."""
    weight_decay: float = 3e-5
    """Of the U-Net, as in the paper."""
    averaged: float = 0.5
    """Last part of the U-Net's epochs over whose weights the mean is taken (Cha et al., SWAD, NeurIPS 2021); the paper
    has none of it. On a scan that was not trained on, two states of a training 36 epochs apart had a kidney Dice of
    0.898 and 0.801, their mean 0.906; on four others the mean differed by at most 0.01 from the better one."""

    @property
    def size(self) -> int:
        """Side of a slice in pixels."""
        return DEFAULT_CANVAS.size

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and checkpoints."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainingConfig":
        """The inverse of ``to_dict``. Keys of other versions are passed over, missing ones have the default."""
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        paths = {name: Path(known[name]) for name in PATHS if known.get(name)}
        stages = {name: StageConfig(**known[name]) for name in STAGES if name in known}
        return cls(**{**known, **paths, **stages})


def read_config(path: Path) -> TrainingConfig:
    """Read a configuration. Raises ``InputError`` naming the key that is wrong."""
    path = Path(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"No training configuration at {path}; give the path of a JSON file.") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not valid JSON (line {error.lineno}): {error.msg}.") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} must be a JSON object of keys and values.")
    try:
        return _config(values, path.parent)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_positive(value: object) -> bool:
    return _is_count(value) and value != 0


def _is_switch(value: object) -> bool:
    return isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")


def _is_share(value: object) -> bool:
    return _is_number(value) and isinstance(value, (int, float)) and value <= 1


def _is_momentum(value: object) -> bool:
    return _is_share(value) and value not in (0, 1)


def _are_shares(value: object) -> bool:
    return isinstance(value, dict) and set(value) <= set(KINDS) and all(map(_is_number, value.values()))


RULES: dict[str, tuple[Callable[[object], bool], str]] = {
    **dict.fromkeys(("seed", "workers", "patience"), (_is_count, "a whole number, not negative")),
    "features": (_is_positive, "a whole number above 0"),
    "bfloat16": (_is_switch, "true or false"),
    **dict.fromkeys(("learning_rate", "poly_exponent", "weight_decay"), (_is_number, "a number, not negative")),
    **dict.fromkeys(("stn_momentum", "averaged"), (_is_share, "a number from 0 to 1")),
    "unet_momentum": (_is_momentum, "a number between 0 and 1"),
    "shares": (_are_shares, f"numbers, not negative, by kind: {', '.join(KINDS)}"),
}
"""By key: whether a value is right, and what it must be."""


def check_config(config: TrainingConfig) -> None:
    """Raise ``InputError`` for values that are out of range or do not go together."""
    for name, choices in CHOICES.items():
        if getattr(config, name) not in choices:
            raise _wrong(config, name, f"one of {', '.join(choices)}")
    for name, (is_right, what) in RULES.items():
        if not is_right(getattr(config, name)):
            raise _wrong(config, name, what)
    _check_combinations(config)


def _wrong(config: TrainingConfig, name: str, what: str) -> InputError:
    return InputError(f"{name} must be {what}, not {getattr(config, name)!r}.")


def _check_combinations(config: TrainingConfig) -> None:
    if "crop" not in METHODS[config.method] and config.crop != "full":
        raise InputError(f'the method {config.method!r} has no crop STN: give "crop": "full".')
    if config.trainable != "all" and not config.start:
        raise InputError(f"trainable is {config.trainable!r}, but there is no model to start from: give start.")
    if config.start and not config.start.is_file():
        raise InputError(f"there is no model to start from at {config.start}.")
    if config.reference_mask and not config.reference_mask.is_file():
        raise InputError(f"there is no reference mask at {config.reference_mask}.")
    if "pose" in METHODS[config.method] and not (config.reference_mask or config.start):
        raise InputError("the pose STN needs a reference subject: give reference_mask.")
    if not (config.unet.epochs or config.start):
        raise InputError("unet must have at least one epoch.")


def _config(values: dict[str, Any], folder: Path) -> TrainingConfig:
    known = {field.name: field for field in fields(TrainingConfig)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise InputError(f"unknown key {unknown[0]!r}; known are {', '.join(known)}.")
    needed = {name for name, field in known.items() if field.default is field.default_factory is MISSING}
    missing = sorted(needed - set(values))
    if missing:
        raise InputError(f"the key {missing[0]!r} is missing.")
    if values.get("start"):
        values = {"pose": {"epochs": 0}, "crop_stage": {"epochs": 0}, **values}
    paths = {name: folder / _text(values, name) for name in PATHS if name in needed or values.get(name) is not None}
    stages = {name: _stage(values[name], name) for name in STAGES if name in values}
    config = TrainingConfig(**{**values, **paths, **stages})
    check_config(config)
    return config


def _text(values: dict[str, Any], name: str) -> str:
    if not isinstance(values[name], str):
        raise InputError(f"{name} must be a path, not {values[name]!r}.")
    return values[name]


def _stage(values: object, name: str) -> StageConfig:
    known = StageConfig.__dataclass_fields__
    if not isinstance(values, dict) or set(values) - set(known):
        raise InputError(f"{name} takes only {', '.join(known)}.")
    stage = StageConfig(**values)
    if not (_is_count(stage.epochs) and all(_is_count(n) and n for n in (stage.batches, stage.batch_size))):
        raise InputError(f"{name} must have whole numbers above 0 (epochs: 0 or more), not {values}.")
    return stage
