"""A synthetic twin of CDnet2014: its eleven categories, rendered in its exact layout on disk."""

from __future__ import annotations

from bgsub_lightning.scenes.synthetic.render import CATEGORIES, VideoPlan, plan, render_video, synthesize

__all__ = ["CATEGORIES", "VideoPlan", "plan", "render_video", "synthesize"]
