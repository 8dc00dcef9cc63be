"""Generative models, one method one file."""
