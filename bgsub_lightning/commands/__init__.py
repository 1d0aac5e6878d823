"""The commands: the table of all, and a file with one typed function for each."""

COMMANDS = {
    "fit": ("training.cli:run_trainer", "train a system"),
    "validate": ("training.cli:run_trainer", "score a checkpoint on the validation frames"),
    "test": ("training.cli:run_trainer", "score a checkpoint on the test frames: scores.json and a table"),
    "predict": ("training.cli:run_trainer", "write masks in CDnet's results layout"),
    "campaign": (
        "commands.campaign:run_campaign",
        "run one experiment for each of several scenes, folds, seeds or other values",
    ),
    "submit": (
        "commands.submit:run_submit",
        "hand one of these commands to a SLURM cluster, a campaign as an array of jobs",
    ),
    "sweep": ("commands.sweep:run_sweep", "run a sweep file of W&B here: a grid or a search, without an account"),
    "evaluate": ("commands.evaluate", "score any folder of masks by CDnet's official rule; pack a submission"),
    "combine": ("commands.combine", "let folders of masks vote: a folder of masks that `evaluate` takes"),
    "report": ("commands.report", "compare the scores of finished tests in one table"),
    "segment": ("commands.segment", "masks, an overlay, boxes of any video or camera"),
    "export": ("commands.export", "write the networks of a checkpoint as ONNX"),
    "download": ("commands.download", "fetch a dataset from its authors' site: resumed, checked, unpacked"),
    "prepare": ("commands.prepare", "check a dataset, list its videos and problems, fill the frame store"),
    "flow": ("commands.flow", "compute optical flow ahead, into the frame store"),
    "synthesize": ("commands.synthesize", "write a synthetic twin of a dataset"),
    "demo": ("commands.demo", "train, test and compare on synthetic scenes in a few minutes"),
}
"""Command → module of the package, and its line in the help. A module has a typed function of the command's name; what
stands after a colon is a function that takes the command and its options as they are."""
