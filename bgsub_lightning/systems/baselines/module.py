"""The baselines as LightningModules."""

from bgsub_lightning.systems.baselines.bgslibrary import BgsLibrarySubtractorSystem
from bgsub_lightning.systems.baselines.classical import ClassicalSubtractorSystem
from bgsub_lightning.systems.baselines.thresholded import ThresholdedDifferenceSystem
from bgsub_lightning.systems.untrained import UntrainedModule


class ClassicalSubtractor(ClassicalSubtractorSystem, UntrainedModule):
    pass


class BgsLibrarySubtractor(BgsLibrarySubtractorSystem, UntrainedModule):
    pass


class ThresholdedDifference(ThresholdedDifferenceSystem, UntrainedModule):
    pass
