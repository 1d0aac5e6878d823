"""Losses of two processes are those of the whole batch, however unevenly it is shared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from two_processes import TwoProcesses

from bgsub_lightning.losses.cross_entropy import masked_binary_cross_entropy, masked_cross_entropy
from bgsub_lightning.losses.dice import batch_dice, image_dice
from bgsub_lightning.losses.jaccard import batch_jaccard
from bgsub_lightning.losses.reduction import global_count
from bgsub_lightning.systems.cdn_medal.loss import mixture_nll
from bgsub_lightning.systems.crossnet.loss import focal_loss, l1_loss, scale_weight
from bgsub_lightning.systems.recon_mcfcn.loss import squared_error
from bgsub_lightning.systems.siamese.loss import class_constant, contrastive


def samples(whole: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs, others and classes; the first two samples have few valid pixels, and no foreground."""
    generator = torch.Generator().manual_seed(0)
    outputs, others = torch.rand(2, whole, 3, 6, 7, generator=generator, dtype=torch.float64)
    classes = torch.randint(3, (whole, 6, 7), generator=generator)
    classes = classes.where(classes < 2, 255)
    classes[:2] = torch.where(torch.rand(2, 6, 7, generator=generator) < 0.1, 0, 255)
    return outputs, others, classes


def density(outputs: Tensor, others: Tensor, classes: Tensor) -> Tensor:
    """Each sample is a pixel's mixture of 6 components, of 7 frames."""
    means = outputs.permute(2, 1, 3, 0)[..., 0, :]  # (K, C, P)
    return mixture_nll(others.permute(3, 1, 2, 0)[..., 0, :], means[:, 0].log_softmax(0), means[:, 1] + 0.1, means)


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "cross-entropy": lambda outputs, _, classes: masked_cross_entropy(outputs[:, :2], classes),
    "class-balanced": lambda outputs, _, classes: masked_cross_entropy(outputs[:, :2], classes, class_balanced=True),
    "binary, logistic": lambda outputs, _, classes: masked_binary_cross_entropy(outputs[:, 0], classes, "logistic"),
    "binary, hard": lambda outputs, _, classes: masked_binary_cross_entropy(outputs[:, 0], classes, "hard"),
    "CS-Focal": lambda outputs, _, classes: focal_loss(outputs[:, 0], classes, beta=scale_weight(classes)),
    "focal": lambda outputs, _, classes: focal_loss(outputs[:, 0], classes, gamma=2),
    "L1": lambda outputs, _, classes: l1_loss(outputs[:, 0], classes),
    "Dice, of the batch": lambda outputs, _, classes: batch_dice(outputs[:, 0], classes),
    "Dice, of images": lambda outputs, _, classes: image_dice(outputs[:, 0], classes),
    "Jaccard": lambda outputs, _, classes: batch_jaccard(outputs[:, 0], classes),
    "contrastive": lambda outputs, _, classes: contrastive(2 * outputs[:, 0], classes),
    "constant": lambda outputs, _, classes: class_constant(classes, 1.5) + 0 * outputs.sum(),
    "reconstruction": lambda outputs, others, _: squared_error(outputs, others),
    "density": density,
}


def loss_and_gradient(name: str, part: slice) -> tuple[float, Any]:
    outputs, others, classes = (each[part] for each in samples())
    loss = LOSSES[name](outputs.requires_grad_(), others, classes)
    loss.backward()
    return float(loss.detach()), outputs.grad.numpy()  # type: ignore[union-attr]


def of_rank(rank: int) -> dict[str, tuple[float, Any]]:
    """The losses of all kinds; the first process has two of the five samples."""
    return {name: loss_and_gradient(name, slice(0, 2) if rank == 0 else slice(2, 5)) for name in LOSSES}


@pytest.mark.parametrize("name", LOSSES)
def test_the_mean_of_processes_is_the_loss_of_all_samples(two_processes: TwoProcesses, name: str) -> None:
    (first, first_gradient), (second, second_gradient) = (each[name] for each in two_processes(of_rank))
    loss, gradient = loss_and_gradient(name, slice(0, 5))
    assert (first + second) / 2 == pytest.approx(loss, rel=1e-6)  # of which some are in single precision
    both = torch.cat([torch.from_numpy(first_gradient), torch.from_numpy(second_gradient)]) / 2  # as DDP averages
    torch.testing.assert_close(both, torch.from_numpy(gradient), rtol=1e-6, atol=1e-12)
    assert name == "constant" or bool(both[2:].any())


def counts_of_rank(rank: int) -> list[int]:
    own = torch.tensor([1, 10 * rank])
    both = global_count(own)
    assert own.tolist() == [1, 10 * rank]
    return both.tolist()


def test_counts_are_summed_over_processes(two_processes: TwoProcesses) -> None:
    assert two_processes(counts_of_rank) == [[2, 10], [2, 10]]
    assert global_count(torch.tensor([1, 10])).tolist() == [1, 10]


def nothing_valid(rank: int) -> tuple[float, bool]:
    logits = torch.zeros(1, 2, 3, 3, requires_grad=True)
    loss = masked_cross_entropy(logits, torch.full((1, 3, 3), 255), class_balanced=True)
    loss.backward()
    return float(loss.detach()), bool(logits.grad.any())  # type: ignore[union-attr]


def test_no_valid_pixel_in_any_process(two_processes: TwoProcesses) -> None:
    assert two_processes(nothing_valid) == [(0.0, False), (0.0, False)]
