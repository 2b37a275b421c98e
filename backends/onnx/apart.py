"""Calls a function in a process of its own: `python -m lottoc.backends.onnx.apart`.

What it imports and holds in memory is given back before the next step. Function, arguments and
result travel as pickles through the pipes between the two processes, and nowhere else.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class Ended(Exception):
    """The process came to an end of its own, for instance for lack of memory."""


def call_apart(function: Callable[..., Result], *arguments: object) -> Result:
    """The function's result; raises what it raises, and `Ended`.

    It has to be a function of a module; its arguments and result have to be fit for pickle.
    """
    command = [sys.executable, "-m", "lottoc.backends.onnx.apart"]
    job = pickle.dumps((function, arguments))
    done = subprocess.run(command, input=job, capture_output=True, check=False)
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise Ended(f"{function.__name__} ended with status {done.returncode}: {last[-1]}")
    error, result = pickle.loads(done.stdout)
    if error is not None:
        raise error
    returned: Result = result
    return returned


def main() -> None:
    """Read a call from the standard input and write how it went to the standard output."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the function prints must not mix with the answer
    function, arguments = pickle.load(sys.stdin.buffer)
    error, result = None, None
    try:
        result = function(*arguments)
    except Exception as raised:
        error = raised
    answers.write(_pickled(error, result))
    answers.close()


def _pickled(error: Exception | None, result: object) -> bytes:
    try:
        answer = pickle.dumps((error, result))
        pickle.loads(answer)  # some errors cannot be made again from what they hold
        return answer
    except Exception:
        return pickle.dumps((RuntimeError(str(error)), None))


if __name__ == "__main__":
    main()
