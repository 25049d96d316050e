"""What the toolbox offers. A new task is one module here and one line in `ALL`."""

from .check import CheckInstallation
from .generate import Generate
from .metadata import SceneMetadata

ALL = (Generate, SceneMetadata, CheckInstallation)
