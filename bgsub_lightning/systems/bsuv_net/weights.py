"""Weights that the authors' code has exported, under this network's names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.systems.bsuv_unet import BsuvUNet, renamed
from bgsub_lightning.systems.weights import load_state_dict

_VARIANTS = {12: "BSUV-Net 2.0, with maps", 9: "Fast BSUV-Net 2.0, without maps"}


def load_published(network: BsuvUNet, source: str | Path) -> None:
    """Load a state dict of the authors' networks.

    Args:
        network: What to load it into. An error leaves it as it was.
        source: File or URL of a state dict, as :func:`bgsub_lightning.systems.weights.load_state_dict` takes it.

    Raises:
        UserError: As that function does; or if the weights are of another network, or of another variant of this one.
    """
    stored = load_state_dict(source)
    given = {renamed(name): value for name, value in stored.items() if renamed(name) != name}
    own: Mapping[str, Tensor] = network.state_dict()
    if missing := sorted(own.keys() - given.keys()):
        raise UserError(
            f"{source}: must hold the weights of BSUV-Net 2.0 under the authors' names, enc1.down_block.conv1.weight "
            f"and others; got {len(stored)} tensors without {missing[0]}. Export them by "
            f"torch.save(network.state_dict(), …)."
        )
    shapes = given["down.0.0.weight"].shape, own["down.0.0.weight"].shape
    if shapes[0][1:2] != shapes[1][1:2]:
        is_of, here = (_VARIANTS.get(shape[1] if len(shape) > 1 else 0, "another variant") for shape in shapes)
        raise UserError(f"{source}: must be of {here}; got weights of {is_of}. Set model.init_args.maps accordingly.")
    for name, value in own.items():
        if value.shape != given[name].shape:
            raise UserError(
                f"{source}: {name} must have the shape {tuple(value.shape)}; got {tuple(given[name].shape)}. Set "
                f"model.init_args.width to that of the weights."
            )
    network.load_state_dict({name: given[name] for name in own})
