"""Many runs: a grid of values, the engine that runs them, a search by Optuna, jobs of SLURM."""
