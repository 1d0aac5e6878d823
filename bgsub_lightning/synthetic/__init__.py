"""The renderer, a room at the side: synthetic twins of datasets, in the layouts on disk that their readers expect.

`synthesize`, `demo` and the training of AnyScene use it, nothing else.
"""

from __future__ import annotations

from bgsub_lightning.synthetic import lasiesta, limu, sbi2015, wallflower
from bgsub_lightning.synthetic.render import (
    CATEGORIES,
    Plan,
    VideoPlan,
    plan,
    render_all,
    render_video,
    synthesize,
)
from bgsub_lightning.synthetic.rendered import Rendered
from bgsub_lightning.synthetic.training import TRAINING_CATEGORIES, TrainingPlan, training_plan

__all__ = [
    "CATEGORIES",
    "TRAINING_CATEGORIES",
    "Plan",
    "Rendered",
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
