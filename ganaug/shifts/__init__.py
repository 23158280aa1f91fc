"""Test rows as they come in life, a file for each kind of data."""

from ganaug.shifts.shift import Shift

__all__ = ["Shift"]
