"""The networks of SeqFeedNet: of the initial features, of the next ones, and of the foreground.

Y.-S. Huang, J.-M. Guo, Y.-X. Yang, "SeqFeedNet: sequential feature feedback network for background subtraction", WACV
2026, by the authors' code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bgsub_lightning.systems.bsuv_unet import BsuvUNet, Normalisation, normalisation
from bgsub_lightning.systems.pretrained import IMAGENET_DEVIATION, IMAGENET_MEAN

FEATURES = 9
"""Channels of the features of a scene: three images of three colours, at first."""


class Convolution(nn.Module):
    """A convolution over colours, rows and columns of three images, a ReLU, and normalisation for each of the three."""

    def __init__(self, norm: Normalisation) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 3, 3, padding=1)
        self.norm = normalisation(norm, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, 3, 3, H, W)``, images and their colours, to the same shape."""
        x = torch.relu(self.conv(x))
        # normalisation over three dimensions is that over two of them joined, which processes can share
        return self.norm(x.flatten(2, 3)).view_as(x)  # type: ignore[no-any-return]


class ColourWeights(nn.Module):
    """Weighs the colours of each image by their means: the squeeze and excitation of the authors' code."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze = nn.Linear(3, 1, bias=False)
        self.excite = nn.Linear(1, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, 3, 3, H, W)``, images and their colours, to the same shape."""
        weights = torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean((-2, -1))))))
        return x * weights[..., None, None]


class InitialFeatures(nn.Sequential):
    """Makes the first features of a scene (SI encoder)."""

    def __init__(self, norm: Normalisation = "batch") -> None:
        super().__init__(Convolution(norm), ColourWeights(), Convolution(norm))

    def forward(self, images: Tensor) -> Tensor:
        """Map the colours of three images, ``(B, 9, H, W)``, to features of that shape."""
        x = images.reshape(len(images), 3, 3, *images.shape[2:])
        for part in self:
            x = part(x)
        return x.flatten(1, 2)


class SeqNetwork(nn.Module):
    """The three networks, and the normalisation of their images.

    Args:
        width: Channels of the first block of both U-Nets; 64 in the paper.
        norm: Which normalisation makes the features; the judging network has that of batches.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int = 64, norm: Normalisation = "batch") -> None:
        super().__init__()
        self.initial = InitialFeatures(norm)
        self.sequence = BsuvUNet(FEATURES + 3, FEATURES, width, normalise=True, norm=norm)
        self.foreground = BsuvUNet(FEATURES + 6, 1, width)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(IMAGENET_DEVIATION)[:, None, None], persistent=False)

    def normalised(self, images: Tensor) -> Tensor:
        """Return images, ``(..., 3, H, W)``, range [0, 1], less ImageNet's mean, by its deviation."""
        return (images - self.mean) / self.deviation

    def before(self, empty: Tensor, recent: Tensor, first: Tensor) -> Tensor:
        """Return what :meth:`begin` takes, ``(B, 9, H, W)``.

        Args:
            empty: The empty background, ``(B, 3, H, W)``, range [0, 1].
            recent: The recent one, likewise.
            first: The first frame, likewise.
        """
        return torch.cat([self.normalised(each) for each in (empty, recent, (recent - first).abs())], 1)

    def begin(self, images: Tensor) -> Tensor:
        """Return the first features of a scene, ``(B, 9, H, W)``, at least in single precision; see :meth:`before`."""
        return _precise(self.initial(images.to(self._dtype)))

    def advance(self, features: Tensor, background: Tensor) -> Tensor:
        """Return the features of the next frame, which they do not see; at least in single precision.

        Args:
            features: Those of the last frame, ``(B, 9, H, W)``.
            background: That frame without its foreground, ``(B, 3, H, W)``, normalised; of the first, the empty
                background.
        """
        return _precise(self.sequence(torch.cat([features, background], 1).to(self._dtype)))

    def judge(self, features: Tensor, image: Tensor, empty: Tensor) -> Tensor:
        """Return logits of foreground, ``(B, H, W)``, at least in single precision.

        Args:
            features: Those of the frame, ``(B, 9, H, W)``.
            image: The frame, ``(B, 3, H, W)``, normalised.
            empty: The empty background, likewise.
        """
        return _precise(self.foreground(torch.cat([features, image, empty], 1).to(self._dtype))[:, 0])

    @property
    def _dtype(self) -> torch.dtype:
        return self.foreground.head[0].weight.dtype  # type: ignore[return-value]


def without_foreground(image: Tensor, logits: Tensor) -> Tensor:
    """Take the foreground out of a normalised frame, ``(B, 3, H, W)``, softly and without a gradient.

    What is taken out has the mean colour of ImageNet.

    Args:
        image: The frame.
        logits: Of foreground, ``(B, H, W)``.
    """
    return (image * torch.sigmoid(-logits.detach())[:, None]).detach()


def _precise(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
