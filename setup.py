"""Ships the folders of experiments and sweeps inside the package; all else is in pyproject.toml."""

from setuptools import find_packages, setup

SHIPPED = {"bgsub_lightning.experiments": "experiments", "bgsub_lightning.sweeps": "sweeps"}

setup(packages=[*find_packages(include=["bgsub_lightning*"]), *SHIPPED], package_dir=SHIPPED)
