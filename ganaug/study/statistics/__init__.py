"""What the rows of a study say, as plain numbers and in one sentence."""

from ganaug.study.statistics.summary import summarise
from ganaug.study.statistics.words import verdict

__all__ = ["summarise", "verdict"]
