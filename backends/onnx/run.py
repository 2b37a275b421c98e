"""Runs a model in onnxruntime, in a process of its own: `python -m lottoc.backends.onnx.run JOB`.

A crash of the runtime ends this process only, and its memory is given back before the next step.
JOB is a JSON file, see `Job`; the answer is one line of JSON, see `Answer`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lottoc.backends.onnx.trial import SETTINGS, CannotMakeUp, Setting, make_inputs

TRIALS = 2
DATA_FOLDER = "session.model_external_initializers_file_folder_path"


@dataclass(frozen=True)
class Job:
    """What to do with the model at `model`.

    `step`: `check` passes it to `onnx.checker`; `make-up` runs it on inputs that are made up and
    stored in `folder` as inputs-N.npz; `run` runs it on those. Outputs go to `outputs`-N.npz.
    `data` is the folder that external data is relative to, if it is not the model's own. The
    bytes of the file `swap` are taken for those of the model's external data called `location`.
    """

    model: str
    folder: str
    outputs: str
    step: Literal["check", "make-up", "run"]
    data: str = ""
    location: str = ""
    swap: str = ""


@dataclass
class Answer:
    """How it went: the step that failed, if one did, and the number of trials that ran.

    Steps are `check`, `load`, `run`, `process` (it crashed), and `inputs` (none can be made up).
    """

    failed: str = ""
    reason: str = ""
    trials: int = 0


def run_apart(job: Job) -> Answer:
    """Run a job in a child process; a crash is an answer like any other."""
    path = Path(job.folder) / f"{job.outputs}.json"
    path.write_text(json.dumps(asdict(job)), encoding="utf-8")
    command = [sys.executable, "-m", "lottoc.backends.onnx.run", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        return Answer(**json.loads(lines[-1]))
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return Answer("process", f"onnxruntime ended with status {done.returncode}: {last}")


def main(path: str) -> None:
    """Do the job described in a file and print the answer."""
    job = Job(**json.loads(Path(path).read_text(encoding="utf-8")))
    print(json.dumps(asdict(do(job))))


def do(job: Job) -> Answer:
    """Do one step; the answer names the part of it that fails."""
    answer = Answer("check" if job.step == "check" else "load")
    try:
        if job.step == "check":
            _check(job.model)
        else:
            # onnxruntime reads these bytes where they are while it makes the session.
            swap = Path(job.swap).read_bytes() if job.swap else b""
            session = _session(job, swap)
            answer.failed = "run"
            (_make_up if job.step == "make-up" else _run)(session, job, answer)
        answer.failed = ""
    except CannotMakeUp as error:
        answer.failed, answer.reason = "inputs", str(error)
    except Exception as error:
        answer.reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return answer


def _check(path: str) -> None:
    import onnx.checker

    onnx.checker.check_model(path)


def _session(job: Job, swap: bytes) -> Any:
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_prepacking", "1")
    model: str | bytes = job.model
    if job.data:
        options.add_session_config_entry(DATA_FOLDER, job.data)
        model = Path(job.model).read_bytes()
    if job.swap:
        model = _swapped(options, job, swap, model)
    # Optimized, two ways to store one weight may be given to different kernels. Folding would also
    # keep every intermediate of every decoder until the end of loading, six times the weights.
    level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.graph_optimization_level = level
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _swapped(options: Any, job: Job, swap: bytes, model: str | bytes) -> str | bytes:
    """The model to load, with other external data; Python got the call for that in 2025."""
    take = getattr(options, "add_external_initializers_from_files_in_memory", None)
    if take is not None:
        take([job.location], [swap], [len(swap)])
        return model
    (Path(job.folder) / job.location).write_bytes(swap)
    options.add_session_config_entry(DATA_FOLDER, job.folder)
    return Path(job.model).read_bytes()


def _run(session: Any, job: Job, answer: Answer) -> None:
    folder = Path(job.folder)
    for path in sorted(folder.glob("inputs-*.npz")):
        with np.load(path) as inputs:
            _store(folder, job.outputs, answer.trials, _outputs(session, dict(inputs)))
        answer.trials += 1


def _make_up(session: Any, job: Job, answer: Answer) -> None:
    """Try settings until enough of them run; one whose outputs hold NaN is the last resort."""
    problem: Exception | None = None
    doubtful: list[Setting] = []
    for setting in SETTINGS:
        if answer.trials == TRIALS:
            return
        try:
            if not _try(session, job, answer, setting, accept_nan=False):
                doubtful.append(setting)
        except CannotMakeUp:
            raise
        except Exception as error:
            problem = error
    if not answer.trials and doubtful:
        _try(session, job, answer, doubtful[0], accept_nan=True)
    elif not answer.trials and problem:
        raise problem


def _try(session: Any, job: Job, answer: Answer, setting: Setting, *, accept_nan: bool) -> bool:
    folder = Path(job.folder)
    inputs = make_inputs(session.get_inputs(), setting)
    outputs = _outputs(session, inputs)
    if not accept_nan and any(has_nan(value) for value in outputs.values()):
        return False
    _store(folder, "inputs", answer.trials, inputs)
    _store(folder, job.outputs, answer.trials, outputs)
    answer.trials += 1
    return True


def has_nan(value: NDArray[np.generic]) -> bool:
    """Whether a number of an array of any type is NaN."""
    return bool(value.dtype.kind in "fc" and np.isnan(value).any())


def _outputs(session: Any, inputs: dict[str, NDArray[np.generic]]) -> dict[str, Any]:
    names = [output.name for output in session.get_outputs()]
    values = [np.asarray(value) for value in session.run(names, inputs)]
    return {
        name: value.astype(str) if value.dtype.kind == "O" else value
        for name, value in zip(names, values, strict=True)
    }


def _store(folder: Path, kind: str, number: int, arrays: dict[str, Any]) -> None:
    np.savez(folder / f"{kind}-{number}.npz", **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
