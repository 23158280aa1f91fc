"""What the rows of a study say, as plain numbers and in one sentence; and how many seeds it wants."""

from ganaug.study.statistics.stein import seeds_wanted
from ganaug.study.statistics.summary import summarise
from ganaug.study.statistics.words import verdict

__all__ = ["seeds_wanted", "summarise", "verdict"]
