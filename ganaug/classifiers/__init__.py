"""Classifiers, to judge samples with and to learn from them."""
