"""The fence around private names: whatever this package uses of other packages that they do not document is in here.

Each use says what it is for and which version it was written for; tests/core/test_compat.py fails when an upgrade
changes one, or when another module uses a private name. A module serves one package, so that importing one does not
import the others.
"""
