"""The store: whole or not at all, damage noticed, any number of writers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from lottoc.diagnostics import InputError
from lottoc.engine.store import Store

KEY = "ab" + "0" * 62
OTHER = "cd" + "1" * 62


def put(store: Store, content: bytes, key: str = KEY, suffix: str = ".x") -> Path:
    return store.put(key, lambda path: path.write_bytes(content) and None, suffix)


def test_what_was_put_is_got(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    assert not (tmp_path / "s").exists()
    assert store.get(KEY, ".x") is None
    path = put(store, b"weights")
    assert store.get(KEY, ".x") == path == Store(tmp_path / "s").get(KEY, ".x")
    assert path.read_bytes() == b"weights"
    assert store.get(KEY, ".y") is None
    assert store.get(OTHER, ".x") is None


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "longer"])
def test_damage_is_not_believed(tmp_path: Path, damage: str) -> None:
    path = put(Store(tmp_path), b"weights of a network")
    content = path.read_bytes()
    changed = {
        "flip": content[:5] + bytes([content[5] ^ 1]) + content[6:],
        "cut": content[:-1],
        "empty": b"",
        "longer": content + b"\0",
    }
    path.write_bytes(changed[damage])
    fresh = Store(tmp_path)
    assert fresh.get(KEY, ".x") is None
    put(fresh, content)
    assert fresh.get(KEY, ".x") is not None


def test_damage_after_a_look_is_noticed_by_the_same_process(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = put(store, b"weights")
    assert store.get(KEY, ".x") == path
    path.write_bytes(b"weightz")
    os.utime(path, ns=(1, 1))
    assert store.get(KEY, ".x") is None


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def half(path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyError("no more")

    with pytest.raises(KeyError):
        store.put(KEY, half, ".x")
    assert store.get(KEY, ".x") is None
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


KILLED = """
    import sys, time
    from pathlib import Path
    from lottoc.engine.store import Store

    def slow(path):
        with path.open("wb") as file:
            for _ in range(1000):
                file.write(b"x" * 1000)
                file.flush()
                print("writing", flush=True)
                time.sleep(0.01)

    Store(Path(sys.argv[1])).put("ab" + "0" * 62, slow, ".x")
"""


def test_a_killed_writer_leaves_nothing_that_is_read(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout
    child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.wait()
    left = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert left, "it was killed in the middle"
    store = Store(tmp_path)  # which sweeps
    assert store.get(KEY, ".x") is None
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_the_temporary_file_of_a_living_writer_stays(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert child.stdout
        child.stdout.readline()
        Store(tmp_path)
        assert list((tmp_path / "tmp").iterdir())
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


MANY = """
    import sys
    from pathlib import Path
    from lottoc.engine.store import Store

    for i in range(40):
        store = Store(Path(sys.argv[1]))
        key = f"{i % 4:02x}" + "0" * 62
        store.put(key, lambda path: path.write_bytes(key.encode() * 500) and None, ".x")
        found = store.get(key, ".x")
        assert found is not None and found.read_bytes() == key.encode() * 500
"""


def test_many_processes_write_the_same_keys(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(MANY), str(tmp_path)]
    children = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(4)]
    for child in children:
        _, errors = child.communicate(timeout=60)
        assert child.returncode == 0, errors.decode()
    assert len(list(Store(tmp_path).entries())) == 4
    assert not list((tmp_path / "tmp").iterdir())


def test_checkpoints_replace_each_other_and_go(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for content in (b"step 1", b"step 2"):
        store.put_partial(KEY, lambda path, content=content: path.write_bytes(content) and None)
    found = store.get_partial(KEY)
    assert found is not None
    assert found.read_bytes() == b"step 2"
    assert len(list((tmp_path / "partial").iterdir())) == 1
    store.drop_partial(KEY)
    assert store.get_partial(KEY) is None


def test_pruning_takes_what_was_used_longest_ago(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keys = [f"{i:02x}" + "0" * 62 for i in range(4)]
    for age, key in enumerate(keys):
        os.utime(put(store, b"x" * 100, key), (time.time() - 1000 + age,) * 2)
    assert Store(tmp_path).get(keys[0], ".x")  # used now
    assert Store(tmp_path).prune(max_bytes=250) == 200
    kept = [key for key in keys if Store(tmp_path).get(key, ".x")]
    assert kept == [keys[0], keys[3]]


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError) as caught:
        put(Store(tmp_path / "file" / "store"), b"x")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "store-write"
    assert "--store" in diagnostic.help[0]


def test_a_full_disk(tmp_path: Path) -> None:
    def full(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="No space left on device"):
        Store(tmp_path).put(KEY, full, ".x")
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
