"""Synthetic twins of datasets, rendered in the layouts on disk that their readers expect."""

from __future__ import annotations

from bgsub_lightning.scenes.synthetic import lasiesta, limu, sbi2015, wallflower
from bgsub_lightning.scenes.synthetic.render import (
    CATEGORIES,
    Plan,
    VideoPlan,
    plan,
    render_all,
    render_video,
    synthesize,
)
from bgsub_lightning.scenes.synthetic.training import TRAINING_CATEGORIES, TrainingPlan, training_plan

__all__ = [
    "CATEGORIES",
    "TRAINING_CATEGORIES",
    "Plan",
    "TrainingPlan",
    "VideoPlan",
    "lasiesta",
    "limu",
    "plan",
    "render_all",
    "render_video",
    "sbi2015",
    "synthesize",
    "training_plan",
    "wallflower",
]
