"""Evaluates mask IR and keeps its results."""
