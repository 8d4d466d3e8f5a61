"""Component-aware pruning of robot control policies, from torch to the board and back into the loop."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("secateur")
except PackageNotFoundError:  # a checkout that is on the path and was not installed
    __version__ = "0+unknown"
