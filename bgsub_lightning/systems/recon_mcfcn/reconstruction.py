"""The background of a frame, restored by an encoder-decoder: the first stage of MCFCN.

X. Zhao, Y. Chen, M. Tang, J. Wang, "Joint background reconstruction and foreground segmentation via a two-stage
convolutional neural network", ICME 2017.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from bgsub_lightning.systems.resizing import resize

_HALVINGS = 5


class BackgroundReconstruction(nn.Module):
    """Strided convolutions to a vector and back, after DCGAN and Context Encoders (section 3.1).

    The paper gives no numbers of channels. With a bottleneck of 512 there are 14,038,403 parameters, with the 4000 of
    Context Encoders 71,196,259.

    In training mode a batch needs two images: batch normalisation has no statistics over one vector.

    Args:
        bottleneck: Length of the vector.
        width: Channels of the first two layers; the next three have twice, four and eight times as many.
        size: Height and width of the images, a multiple of 32; 128 in the paper. Five layers halve them, and the next
            one, whose kernel is what is left (4×4 of 128), makes the vector.

    Raises:
        ValueError: ``size`` is not a multiple of 32.
    """

    def __init__(self, bottleneck: int = 512, width: int = 64, size: int = 128) -> None:
        super().__init__()
        if size < 1 or size % 2**_HALVINGS:
            raise ValueError(
                f"size: expected a multiple of {2**_HALVINGS}, because {_HALVINGS} layers halve it; got {size}."
            )
        self.size = size
        kernel = size // 2**_HALVINGS
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        # Every convolution has a bias, also before batch normalisation, and every normalisation is affine, as in the
        # networks that the paper follows; so the numbers of parameters above are exact.
        encoder: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for i, o in pairwise(widths):
            encoder += [nn.Conv2d(i, o, 4, 2, 1), nn.BatchNorm2d(o), nn.LeakyReLU(0.2, inplace=True)]
        encoder += [
            nn.Conv2d(widths[-1], bottleneck, kernel),
            nn.BatchNorm2d(bottleneck),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        decoder: list[nn.Module] = [
            nn.ConvTranspose2d(bottleneck, widths[-1], kernel),
            nn.BatchNorm2d(widths[-1]),
            nn.ReLU(inplace=True),
        ]
        for i, o in pairwise(reversed(widths)):
            decoder += [nn.ConvTranspose2d(i, o, 4, 2, 1), nn.BatchNorm2d(o), nn.ReLU(inplace=True)]
        decoder += [nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Tanh()]
        self.encoder = nn.Sequential(*encoder)
        self.decoder = nn.Sequential(*decoder)
        self.initialise()

    def initialise(self) -> None:
        """Draw all weights from N(0, 0.01²) (section 3.3); biases are 0, and batch normalisation is the identity."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, std=0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()

    def restore(self, frame: Tensor) -> Tensor:
        """Restore the backgrounds of frames ``(B, 3, H, W)`` in [0, 1]; shape ``(B, 3, size, size)``, range [-1, 1]."""
        return self(2 * resize(frame, (self.size, self.size)) - 1)  # type: ignore[no-any-return]

    def forward(self, image: Tensor) -> Tensor:
        """Restore the background.

        Args:
            image: Frame, shape ``(B, 3, size, size)``, range [-1, 1].

        Returns:
            Background, of the same shape and range.

        Raises:
            ValueError: The image has another shape.
        """
        if image.ndim != 4 or image.shape[1:] != (3, self.size, self.size):
            raise ValueError(f"Expected images of shape (B, 3, {self.size}, {self.size}), got {tuple(image.shape)}.")
        return self.decoder(self.encoder(image))  # type: ignore[no-any-return]
