"""Classifiers, to judge samples with and to learn from them."""

from ganaug.classifiers.base import Classifier
from ganaug.classifiers.image import ImageClassifier
from ganaug.classifiers.series import SeriesClassifier
from ganaug.classifiers.text import TextClassifier

__all__ = ["Classifier", "ImageClassifier", "SeriesClassifier", "TextClassifier"]
