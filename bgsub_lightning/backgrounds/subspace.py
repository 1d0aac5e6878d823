"""Backgrounds from a subspace of low dimension, in which the frames of a still camera lie but for what moves.

N. M. Oliver, B. Rosario, A. P. Pentland, "A Bayesian computer vision system for modeling human interactions", PAMI 2000
(eigenbackgrounds); P. Rodríguez, B. Wohlberg, "Incremental principal component pursuit for video background modeling",
Journal of Mathematical Imaging and Vision 2016.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from bgsub_lightning.backgrounds.source import BackgroundContext, BackgroundSource
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range

_VALUES = 2**15  # of a frame, at once: 200 frames' are 26 MB as floats
_NOISE = 1e-6  # what single precision leaves of nothing, relative to what it was left of


@dataclass
class Components(BackgroundContext):
    """State of a scene.

    Attributes:
        taken: The frames to learn from, shape ``(P,)`` each, uint8; empty when it has learnt.
        seen: Number of frames so far.
        mean: Their mean, shape ``(P,)``; set with the first frame, as the next one.
        axes: Their principal components, shape ``(P, K)``.
    """

    taken: list[Tensor] = field(default_factory=list)
    seen: int = 0
    mean: Tensor | None = None
    axes: Tensor | None = None


class Eigenbackground(BackgroundSource):
    """Mean and principal components of a scene's first frames; the background is a frame's projection onto them.

    It learns from ``frames`` frames, the scene's first and then one of ``every``, and no more after that: all lie among
    the first ``frames * every`` of the scene. With the defaults these are the first 200, which come before the
    labelled part of every video of CDnet2014 but streetLight, which is labelled from frame 175. Where the first N
    frames of a scene are its training part choose ``frames * every <= N``. While it has taken fewer, it is computed
    again at the 1st, 2nd, 4th, 8th and so on.

    It keeps the frames in 8 bits while it learns (200 of 320×240: 46 MB), afterwards mean and components as floats
    (11 of that size: 10 MB).

    Args:
        frames: Number of frames that it learns from.
        every: It takes one of so many frames.
        components: Number of principal components; frames that differ less have fewer.
    """

    def __init__(self, frames: int = 200, every: int = 1, components: int = 10) -> None:
        super().__init__()
        check_range("Eigenbackground.", least=1, most=10_000, frames=frames, components=components)
        check_range("Eigenbackground.", least=1, every=every)
        self.frames = frames
        self.every = every
        self.components = components

    def begin_scene(self) -> Components:  # noqa: D102
        return Components()

    def estimate(self, context: Components, images: Tensor) -> Tensor:  # noqa: D102
        backgrounds = []
        for image in images.float():
            self._learn(context, image)
            assert context.mean is not None  # the first frame is taken
            assert context.axes is not None
            off = image.flatten() - context.mean
            background = context.mean + context.axes @ (off @ context.axes)
            backgrounds.append(background.clamp_(0, 1).view(image.shape))
        return torch.stack(backgrounds)

    def settings(self) -> str:  # noqa: D102
        return f"{self.components} principal components of {self.frames} frames every {self.every}"

    def _learn(self, context: Components, image: Tensor) -> None:
        number, left_over = divmod(context.seen, self.every)
        context.seen += 1
        if left_over or number >= self.frames:
            return
        context.taken.append((image.flatten() * 255).round().byte())
        count = len(context.taken)
        if count == self.frames or count & (count - 1) == 0:  # a power of two
            context.mean, context.axes = principal_components(torch.stack(context.taken), self.components)
        if count == self.frames:
            context.taken = []


def principal_components(frames: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Compute the principal components of frames from the products of each two of them, a matrix of F×F.

    Args:
        frames: Shape ``(F, P)``, uint8.
        count: Number of components at most; there are no more than frames differ in.

    Returns:
        The mean, shape ``(P,)``, and the components, orthonormal and the largest first, shape ``(P, K)``; of frames in
        [0, 1].
    """
    parts = torch.split(frames, _VALUES, dim=1)
    means = [part.sum(0).float() / len(frames) for part in parts]  # exact where frames do not differ

    def centred(part: Tensor, mean: Tensor) -> Tensor:
        return (part.float() - mean) / 255

    products = torch.zeros(len(frames), len(frames), dtype=torch.float64)
    for part, mean in zip(parts, means, strict=True):
        off = centred(part, mean)
        products += (off @ off.T).cpu()
    values, vectors = torch.linalg.eigh(products)
    kept = [i for i in range(len(frames))[::-1][:count] if values[i] > _NOISE * values[-1]]
    weights = (vectors[:, kept] / values[kept].sqrt()).to(frames.device, torch.float32)
    axes = torch.cat([centred(part, mean).T @ weights for part, mean in zip(parts, means, strict=True)])
    return torch.cat(means) / 255, torch.linalg.qr(axes).Q  # which takes away what rounding has left of each in others


@dataclass
class Columns(BackgroundContext):
    """The SVD of the frames that are remembered; ``None`` before the first."""

    svd: IncrementalSvd | None = None


class IncrementalPcp(BackgroundSource):
    """Principal component pursuit, frame by frame: a background of low rank, and a foreground that is sparse.

    Each frame d is a new column of a matrix whose thin SVD is kept. Then, in turns: the background is the column's part
    of low rank, the foreground is what differs from it, shrunk by λ, and the column is replaced by d without the
    foreground. The oldest column goes when there are more than ``window``.

    The defaults are those of the examples of the authors' program. It begins with the first frame as the background.
    Left out is that program's restart where the background changes at once: whatever is there to stay gets into the
    background by some ``shrinkage / window`` a frame. The authors have applied for a patent on the method (US
    14/722,651).

    It keeps ``rank`` images as floats, and ``rank`` numbers for each frame of the window.

    Args:
        rank: Rank of the background.
        shrinkage: λ, by which the foreground is shrunk; frames have the range [0, 1].
        window: Frames that are remembered.
        iterations: Turns for each frame. With one the frames are taken as they are, foreground and all.
    """

    def __init__(self, rank: int = 1, shrinkage: float = 0.0375, window: int = 50, iterations: int = 3) -> None:
        super().__init__()
        check_range("IncrementalPcp.", least=1, most=10_000, rank=rank, window=window, iterations=iterations)
        check_range("IncrementalPcp.", least=0, shrinkage=shrinkage)
        if window < rank:
            raise UserError(f"IncrementalPcp.window: must be at least the rank, {rank}; got {window}.")
        self.rank = rank
        self.shrinkage = shrinkage
        self.window = window
        self.iterations = iterations

    def begin_scene(self) -> Columns:  # noqa: D102
        return Columns()

    def estimate(self, context: Columns, images: Tensor) -> Tensor:  # noqa: D102
        backgrounds = [self._next(context, image.flatten()).clamp(0, 1).view(image.shape) for image in images.float()]
        return torch.stack(backgrounds)

    def settings(self) -> str:  # noqa: D102
        return (
            f"incremental PCP of rank {self.rank}, λ {self.shrinkage}, window {self.window}, "
            f"{self.iterations} iterations"
        )

    def _next(self, context: Columns, frame: Tensor) -> Tensor:
        if context.svd is None:
            context.svd = IncrementalSvd(frame, self.rank)
            return frame
        svd = context.svd
        svd.append(frame)
        column = frame
        background = svd.last
        for _ in range(self.iterations - 1):
            foreground = torch.nn.functional.softshrink(frame - background, self.shrinkage)
            svd.replace(column, frame - foreground)
            column = frame - foreground
            background = svd.last
        if len(svd) > self.window:
            svd.drop_first()
        return background


class IncrementalSvd:
    """Thin SVD ``U diag(s) Vᵀ`` of a matrix whose columns come, change and go.

    A change of one column leaves the columns in the span of U and of one more direction at most: with their coordinates
    there, a matrix of r+1 rows, as the only thing to decompose, U is rotated and V is new (M. Brand, "Fast low-rank
    modifications of the thin singular value decomposition", Linear Algebra and its Applications 2006). It is exact
    while the rank suffices; beyond it the smallest singular values are cut off.

    Args:
        column: The first column, shape ``(P,)``.
        rank: Rank that is kept at most.

    Attributes:
        left: U, shape ``(P, r)``.
        values: s, shape ``(r,)``, the largest first.
        right: V, shape ``(n, r)``.
    """

    def __init__(self, column: Tensor, rank: int) -> None:
        self.rank = rank
        norm = column.norm()
        self.left: Tensor = (column / norm.clamp(min=torch.finfo(norm.dtype).tiny))[:, None]
        self.values: Tensor = norm[None]
        self.right: Tensor = norm.new_ones(1, 1)

    def __len__(self) -> int:
        """Return the number of columns, n."""
        return len(self.right)

    @property
    def last(self) -> Tensor:
        """The last column, as far as the rank suffices."""
        return self.left @ (self.values * self.right[-1])

    def append(self, column: Tensor) -> None:
        """Add a column behind the last."""
        inside, direction, outside = self._split(column)
        old = torch.cat([self._coordinates, self.values.new_zeros(1, len(self))])
        self._decompose(torch.cat([old, torch.cat([inside, outside])[:, None]], dim=1), direction)

    def replace(self, old: Tensor, new: Tensor) -> None:
        """Replace the last column.

        Args:
            old: It as it was given. Where the rank does not suffice less of it is held; what it has done to the other
                columns is then taken back with it.
            new: What comes in its place.
        """
        inside, direction, outside = self._split(new - old)
        coordinates = torch.cat([self._coordinates, self.values.new_zeros(1, len(self))])
        coordinates[:, -1] += torch.cat([inside, outside])
        self._decompose(coordinates, direction)

    def drop_first(self) -> None:
        """Remove the first column, which must not be the only one."""
        self._decompose(self._coordinates[:, 1:], None)

    @property
    def _coordinates(self) -> Tensor:
        """The columns in the basis U, shape ``(r, n)``."""
        return self.values[:, None] * self.right.T

    def _split(self, column: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return a column's coordinates in the basis U, the direction of the rest, and its length, ``(1,)``."""
        inside = column @ self.left
        rest = column - self.left @ inside
        again = rest @ self.left  # the first time leaves what rounding has left, which may be all there is
        rest = rest - self.left @ again
        outside = rest.norm()
        outside = torch.where(outside > _NOISE * column.norm(), outside, 0.0)
        return inside + again, torch.where(outside > 0, rest / outside, 0.0), outside[None]

    def _decompose(self, coordinates: Tensor, direction: Tensor | None) -> None:
        turn, values, right = torch.linalg.svd(coordinates.cpu().double(), full_matrices=False)
        turn, values, right = (part.to(self.left) for part in (turn, values, right))
        count = min(self.rank, len(values))
        kept = turn[: self.left.shape[1], :count]
        left = self.left @ kept
        if direction is not None:
            left += direction[:, None] * turn[-1, :count]
        self.left, self.values, self.right = left, values[:count], right[:count].T
