"""A dataset in its own layout: FOLDER/<video>/rgb/0001.png …, FOLDER/<video>/truth/0001.png (white: foreground).

Start in this folder, so that the class can be imported by its path:

    cd examples
    python -m bgsub_lightning test --config ../experiments/mog2.yaml --data.init_args.root=FOLDER \
        --data.init_args.reader=own_dataset.MyDataset --data.init_args.protocol=Subset \
        --data.init_args.protocol.init_args.test='["*/*"]'
"""

from bgsub_lightning.datasets import SequenceReader


class MyDataset(SequenceReader):
    """Each folder is a video; masks are white from 128 on, and there may be some for a few frames only."""

    name = "MyDataset"
    root_variable = "MY_DATASET_ROOT"
    homepage = "your own disk"
    layout = "FOLDER/<video>/{rgb/%d.png, truth/%d.png}"
    categories = ("MyDataset",)
    sequences = ()

    def __init__(self) -> None:
        """Say where the files are."""
        super().__init__("{sequence}/rgb/{number}.*", "{sequence}/truth/{number}.*", opening=50)
