"""The errors a user can meet, and the warning that marks a guess.

    RsgeoError
    ├── InputError          a file, option or value that cannot be used as it is
    │   ├── AreaError       an area that is missing, or no polygon on the map
    │   ├── CrsError        a coordinate system that is unknown or no map's
    │   └── DeviceError     a device that this machine has not
    ├── GeoreferenceError   a place that cannot be told, or lies outside the Earth
    ├── ModelError          a model that is unknown, broken, or gives no picture
    ├── OutputError         a file that cannot be written
    ├── TooLargeError       more pixels, memory or disk than there is
    │   └── NoSpaceError    (an OutputError too) a disk that is full, or too small
    └── CancelledError      a run that was told to stop

Each message is one sentence that says what is wrong and what to do about it. ``code`` says the same to programs (`rsgeo worker`): it stays when
sentences change.
"""

from typing import ClassVar


class RsgeoError(Exception):
    """Base of all errors whose message is meant for the user."""

    code: ClassVar[str] = "internal"


class InputError(RsgeoError):
    """A file, option or value cannot be used as it is."""

    code = "bad_request"


class AreaError(InputError):
    """No area was given, or what was given is no polygon that a grid can cover."""

    code = "aoi_invalid"


class CrsError(InputError):
    """A coordinate system is unknown, or none of a map of the Earth."""

    code = "crs_unsupported"


class DeviceError(InputError):
    """This machine has no such device."""

    code = "device_unavailable"


class GeoreferenceError(RsgeoError):
    """A place is unknown, contradictory, or not on the Earth."""

    code = "no_reference"


class ModelError(RsgeoError):
    """A model is unknown, incomplete, or its output is no picture."""

    code = "weights_missing"


class OutputError(RsgeoError):
    """The result cannot be written where it was asked for."""

    code = "write_failed"


class TooLargeError(RsgeoError):
    """The request needs more pixels, memory or disk than allowed or present."""

    code = "aoi_too_large"


class NoSpaceError(OutputError, TooLargeError):
    """The disk is full, or too small for the result."""

    code = "no_space"


class CancelledError(RsgeoError):
    """The run was told to stop; nothing is written."""


class RsgeoWarning(UserWarning):
    """rsgeo guessed, repaired or ignored something; the message says what.

    Raised with ``warnings.warn(message, RsgeoWarning, stacklevel=2)``. The faces collect these warnings and show each once.
    """
