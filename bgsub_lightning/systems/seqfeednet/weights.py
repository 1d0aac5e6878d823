"""Weights of the authors, one file for each fold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.splits import TrainingRecord, published_record
from bgsub_lightning.splits.folds import published_folds
from bgsub_lightning.systems.bsuv_unet import renamed as renamed_unet
from bgsub_lightning.systems.seqfeednet.network import SeqNetwork
from bgsub_lightning.systems.weights import load_state_dict

_PARTS = {
    "si_encoder": "initial",
    "erd_model": "initial",
    "se_model": "sequence",
    "fp_model": "foreground",
    "me_model": "foreground",
}
_CONVOLUTION = re.compile(r"cnn([12])\.([02])\.(\w+)")
_HEAD = re.compile(r"out\.([01])\.(\w+)")


@dataclass(frozen=True)
class PublishedWeights:
    """A state dict that the authors have published.

    Args:
        file: File or URL.
        fold: The fold that it was made for, 1 to 4, which training has left out; ``None``: not known, so that all of
            CDnet2014 counts as seen.

    Raises:
        UserError: If there is no such fold.
    """

    file: str
    fold: int | None = None

    def __post_init__(self) -> None:
        check_range("model.init_args.weights.", least=1, most=4, fold=self.fold)

    @property
    def record(self) -> TrainingRecord:
        """Which frames training has seen."""
        folds = published_folds(4)
        everything = published_record()
        if self.fold is None:
            return everything
        return {key: seen for key, seen in everything.items() if folds.get(key.partition(":")[2]) != self.fold}

    def load_into(self, network: SeqNetwork) -> None:
        """Load them.

        Args:
            network: What to load them into. An error leaves it as it was.

        Raises:
            UserError: As :func:`bgsub_lightning.systems.weights.load_state_dict` does; or if they are of another
                network, or of another width.
        """
        given = {renamed(name, value): value for name, value in load_state_dict(self.file).items()}
        own: Mapping[str, Tensor] = network.state_dict()
        if missing := sorted(own.keys() - given.keys()):
            raise UserError(
                f"{self.file}: must hold the weights of SeqFeedNet (si_encoder…, se_model…, fp_model…); {missing[0]} "
                f"is not there. Name a state dict of its authors' code."
            )
        for name, value in own.items():
            if value.shape != given[name].shape:
                raise UserError(
                    f"{self.file}: {name} must have the shape {tuple(value.shape)}; got {tuple(given[name].shape)}. "
                    f"Set model.init_args.width to that of the weights."
                )
        network.load_state_dict({name: given[name] for name in own})


def renamed(name: str, value: Tensor) -> str:
    """Return this network's name of one of the authors' weights; another name stays as it is.

    Args:
        name: Theirs.
        value: The weight: those of the squeeze and the excitation differ by their shapes.

    Example:
        >>> import torch
        >>> renamed("si_encoder.cnn2.2.bias", torch.zeros(3)), renamed("se_model.out.1.weight", torch.zeros(9))
        ('initial.2.norm.bias', 'sequence.head.1.weight')
    """
    part, _, rest = name.partition(".")
    ours = _PARTS.get(part)
    if ours == "initial":
        if found := _CONVOLUTION.fullmatch(rest):
            unit, layer, what = found.groups()
            return f"initial.{0 if unit == '1' else 2}.{'conv' if layer == '0' else 'norm'}.{what}"
        linear = {"1×3": "squeeze", "3×1": "excite"}.get("×".join(map(str, value.shape)))
        return f"initial.1.{linear}.weight" if linear else name
    if ours == "sequence" and (found := _HEAD.fullmatch(rest)):
        return f"sequence.head.{found[1]}.{found[2]}"
    return f"{ours}.{renamed_unet(rest)}" if ours else name
