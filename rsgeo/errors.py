"""The errors a user can meet, and the warning that marks a guess.

    RsgeoError
    ├── InputError          a file, option or value that cannot be used as it is
    ├── GeoreferenceError   a place that cannot be told, or lies outside the Earth
    ├── ModelError          a model that is unknown, broken, or gives no picture
    ├── OutputError         a file that cannot be written
    ├── TooLargeError       more pixels, memory or disk than there is
    └── CancelledError      a run that was told to stop

Each message is one sentence that says what is wrong and what to do about it.
"""


class RsgeoError(Exception):
    """Base of all errors whose message is meant for the user."""


class InputError(RsgeoError):
    """A file, option or value cannot be used as it is."""


class GeoreferenceError(RsgeoError):
    """A place is unknown, contradictory, or not on the Earth."""


class ModelError(RsgeoError):
    """A model is unknown, incomplete, or its output is no picture."""


class OutputError(RsgeoError):
    """The result cannot be written where it was asked for."""


class TooLargeError(RsgeoError):
    """The request needs more pixels, memory or disk than allowed or present."""


class CancelledError(RsgeoError):
    """The run was told to stop; nothing is written."""


class RsgeoWarning(UserWarning):
    """rsgeo guessed, repaired or ignored something; the message says what.

    Raised with ``warnings.warn(message, RsgeoWarning, stacklevel=2)``. The faces collect these warnings and show each once.
    """
