"""Masks, their algebra, and the selection of what to keep."""
