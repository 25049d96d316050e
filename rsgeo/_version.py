"""The version of rsgeo, on the ground floor so that every floor may say it."""

__version__ = "0.1.0"
