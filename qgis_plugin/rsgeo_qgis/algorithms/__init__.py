"""What the toolbox offers. A new task is one module here and one line in `ALL`."""

from .check import CheckInstallation
from .extend import Extend
from .generate import Generate
from .inpaint import Inpaint
from .metadata import SceneMetadata
from .predict import Predict
from .superres import SuperResolve

ALL = (Generate, Extend, SuperResolve, Inpaint, Predict, SceneMetadata, CheckInstallation)
