"""Pruning one layer at a time so that its outputs on given inputs change least."""
