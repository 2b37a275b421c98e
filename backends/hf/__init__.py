"""Writes pruned language models as folders that transformers loads."""
