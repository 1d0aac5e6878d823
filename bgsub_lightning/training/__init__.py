"""Training: the command-line interface of Lightning, the directory of a run, signals, callbacks."""
