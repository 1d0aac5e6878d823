"""Jobs on a cluster: what they ask for, their batch scripts, and what SLURM says of them."""

from bgsub_lightning.runs.jobs import Job, find_jobs
from bgsub_lightning.runs.script import BatchScript, Resources
from bgsub_lightning.runs.slurm import State, require_slurm, states, submit

__all__ = ["BatchScript", "Job", "Resources", "State", "find_jobs", "require_slurm", "states", "submit"]
