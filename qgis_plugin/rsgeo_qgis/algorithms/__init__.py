"""What the toolbox offers. A new task is one module here and one line in `ALL`."""

from .check import CheckInstallation
from .extend import Extend
from .generate import Generate
from .inpaint import Inpaint
from .metadata import SceneMetadata

ALL = (Generate, Extend, Inpaint, SceneMetadata, CheckInstallation)
