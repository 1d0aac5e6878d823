"""Synthetic twins of datasets, rendered in their exact layouts on disk: CDnet2014's eleven categories, Wallflower."""

from __future__ import annotations

from bgsub_lightning.scenes.synthetic import wallflower
from bgsub_lightning.scenes.synthetic.render import (
    CATEGORIES,
    Plan,
    VideoPlan,
    plan,
    render_all,
    render_video,
    synthesize,
)

__all__ = ["CATEGORIES", "Plan", "VideoPlan", "plan", "render_all", "render_video", "synthesize", "wallflower"]
