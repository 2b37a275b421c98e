"""A declarative mask-compiler for neural networks.

Importing this package loads neither torch nor onnxruntime; each is imported where it is first used.
"""

__version__ = "0.1.0"
