"""Resizing, against positions computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from bgsub_lightning.systems.resizing import resize

SIZES = [(240, 320), (128, 128), (241, 241), (961, 961), (100, 37)]


def position(height: int, width: int) -> Tensor:
    """A picture whose two channels say where a pixel lies: 0 and 1 are the picture's edges."""
    y, x = ((torch.arange(side) + 0.5) / side for side in (height, width))
    return torch.stack(torch.meshgrid(y, x, indexing="ij"))[None]


@pytest.mark.parametrize("there", SIZES)
@pytest.mark.parametrize("size", SIZES)
def test_pictures_stay_where_they_are(size: tuple[int, int], there: tuple[int, int]) -> None:
    """Shrunk or enlarged, and brought back: no pixel moves by a tenth of one of the smaller picture's."""
    picture = resize(position(*size), there)
    for found in (picture, resize(picture, size)):
        height, width = found.shape[-2:]
        inside = (0, slice(None), slice(height // 8, -height // 8), slice(width // 8, -width // 8))
        moved = (found - position(height, width))[inside].abs().amax((1, 2)) * torch.tensor(
            [min(sides) for sides in zip(size, there, strict=True)]
        )
        assert moved.max() < 0.1


def test_enlarging_is_linear_between_centres() -> None:
    image = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    rows, columns = (
        np.clip((np.arange(large) + 0.5) * small / large - 0.5, 0, small - 1) for small, large in ((5, 23), (7, 64))
    )
    line_y = np.maximum(0, 1 - np.abs(rows[:, None] - np.arange(5)))
    line_x = np.maximum(0, 1 - np.abs(columns[:, None] - np.arange(7)))
    expected = np.einsum("yi,xj,bcij->bcyx", line_y, line_x, image.double().numpy())
    np.testing.assert_allclose(resize(image, (23, 64)).numpy(), expected, atol=1e-6)


def test_shrinking_sees_every_pixel() -> None:
    """Stripes of one pixel become grey, and none of them vanishes."""
    stripes = (torch.arange(320) % 2).float().expand(1, 1, 240, 320)
    np.testing.assert_allclose(resize(stripes, (60, 64))[..., 1:-1].numpy(), 0.5, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_type_stays(dtype: torch.dtype) -> None:
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = resize(image.to(dtype), (5, 12))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), resize(image, (5, 12)), atol=0.01, rtol=0.01)
