"""Models and data sets: signatures, weights, arrays."""
