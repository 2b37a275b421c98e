"""Rewrites of a whole graph that keep its meaning: what makes a sparse model small and fast."""
