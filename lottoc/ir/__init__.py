"""The two dialects of the compiler and their text."""
