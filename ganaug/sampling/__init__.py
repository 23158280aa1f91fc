"""Samples of a trained model, in the containers that people use."""
