"""What befalls a run's folder: killed, disk full, memory gone, not allowed, two at a time, odd paths and clocks.

The chain here is the run folder's own machinery with stages that are quick to make. Faults are put in from outside, in
a process of its own: nothing in the product knows of them.
"""

import errno
import getpass
import os
import resource
import signal
import tempfile
import time
from pathlib import Path

import pytest

from secateur import runfolder
from secateur.errors import SecateurError, refused
from secateur.runfolder import FolderInUse, RunFolder, read_finished

STAGES = ("original", "widths", "policy")
NAMES = [f"{name}.bin" for name in STAGES]
BASE = Path(tempfile.gettempdir()) / f"pytest-of-{getpass.getuser()}"
"""Where pytest has its folders, which are for their owner alone."""
RENAMES = 12
"""Of a whole chain: the request; record and folder of each stage; three files, the manifest, the summary."""


def chain(path, resume=True):
    """Three stages, each of the one before, and the end."""
    folder = RunFolder(path, {"seed": 0}, resume)
    if folder.finished:
        folder.tidy()
        return read_finished(path)
    with folder:
        before, made = b"start", {}
        for number, name in enumerate(STAGES):

            def produce(to, content=before, name=name, number=number):
                (to / f"{name}.bin").write_bytes(content * (number + 1) * 400)

            made[f"{name}.bin"] = folder.stage(name, produce) / f"{name}.bin"
            before = made[f"{name}.bin"].read_bytes()[:9]
        folder.publish(made, {}, lambda listed: {"schema": 1, "artifacts": listed})
    return read_finished(path)


@pytest.fixture
def quick(monkeypatch):
    """No waiting for the disk: what a power cut does is not looked at here."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def whole(tmp_path, quick):
    chain(tmp_path / "whole")
    return tmp_path / "whole"


def _apart(do):
    """Runs ``do`` in a forked process. Gives its exit code, negative for a signal."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = do() or 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _same(one, other):
    assert read_finished(one) == read_finished(other)
    for name in (*NAMES, "summary.json", "manifest.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    left = {path.name for path in other.iterdir()}
    assert left == {*NAMES, "summary.json", "manifest.json", "request.json", ".lock"}


def _at_call(target, name, number, act):
    """Lets ``act`` happen before the call ``number`` of a function."""
    original, count = getattr(target, name), [0]

    def counted(*arguments, **named):
        count[0] += 1
        if count[0] == number:
            act()
        return original(*arguments, **named)

    setattr(target, name, counted)


@pytest.mark.parametrize("call", ["replace", "mkdir", "fsync"])
def test_killed_at_every_step_it_resumes_to_the_same(tmp_path, whole, call):
    """SIGKILL before every rename, every new folder and every write that is finished but not yet named."""
    target = Path if call == "mkdir" else os
    for number in range(1, 100):
        broken = tmp_path / f"{call}-{number}"

        def die(broken=broken, number=number):
            _at_call(target, call, number, lambda: os.kill(os.getpid(), signal.SIGKILL))
            chain(broken)

        code = _apart(die)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        assert not (broken / "summary.json").exists() or read_finished(broken)
        chain(broken)
        _same(whole, broken)
    assert number > 3


@pytest.mark.parametrize("room", [0, 1, 17, 100, 300, 700, 2500, 5000])
def test_killed_in_the_middle_of_a_write_nothing_half_is_taken_for_whole(tmp_path, whole, room):
    """A limit on file sizes whose signal kills: the write that goes beyond it is cut off there."""
    broken = tmp_path / "broken"

    def die():
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        chain(broken)

    assert _apart(die) == -signal.SIGXFSZ
    assert not (broken / "summary.json").exists()
    chain(broken)
    _same(whole, broken)


@pytest.mark.parametrize("number", range(1, RENAMES + 2))
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_full_or_read_only_disk_is_one_error_and_what_was_finished_is_kept(
    tmp_path, whole, monkeypatch, number, code
):
    broken = tmp_path / "broken"

    def refuse():
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", os.replace)
        _at_call(os, "replace", number, refuse)
        said = ""
        try:
            chain(broken)
        except (OSError, SecateurError) as error:
            said = str(refused(error))
        assert (os.strerror(code) in said) == (number <= RENAMES)
    chain(broken)
    _same(whole, broken)


def test_files_that_may_not_get_so_large_are_one_error(tmp_path, whole):
    broken = tmp_path / "broken"

    def full():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))
        try:
            chain(broken)
        except OSError as error:
            return 7 if "files may be as large" in str(refused(error)) else 8

    assert _apart(full) == 7
    chain(broken)
    _same(whole, broken)


def test_memory_that_runs_out_is_one_error(tmp_path, whole):
    broken = tmp_path / "broken"

    def starve():
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + (64 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        try:
            with RunFolder(broken, {"seed": 0}, True) as folder:
                folder.stage("original", lambda to: (to / "x").write_bytes(bytes(1 << 30)))
        except MemoryError as error:
            return 7 if "there is enough memory" in str(refused(error)) else 8

    assert _apart(starve) == 7
    chain(broken)
    _same(whole, broken)


def test_torchs_own_words_for_it_are_understood():
    said = (
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
    )
    assert "there is enough memory" in str(refused(RuntimeError(said)))
    assert refused(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None


def test_a_folder_that_may_not_be_written_to_is_one_error(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    own = [parent for parent in (tmp_path, *tmp_path.parents) if parent.is_relative_to(BASE)]
    for parent in own:
        parent.chmod(0o755)

    def powerless():
        if os.geteuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        try:
            chain(locked / "run")
        except SecateurError as error:
            return 7 if "can be written to" in str(error) else 8

    assert _apart(powerless) == 7
    assert not list(locked.iterdir())


def test_two_runs_in_one_folder_and_a_killed_one_holds_no_lock(tmp_path, whole):
    broken = tmp_path / "broken"
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with RunFolder(broken, {"seed": 0}, True):
            os.write(write, b"x")
            time.sleep(60)
        os._exit(0)
    os.read(read, 1)
    with pytest.raises(FolderInUse, match="is in use"):
        chain(broken)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    chain(broken)
    _same(whole, broken)


@pytest.mark.parametrize("damage", ["changed", "missing", "added", "record", "swapped"])
def test_files_changed_between_stages_are_an_error(tmp_path, quick, damage):
    broken = tmp_path / "broken"

    def die():
        _at_call(os, "replace", 5, lambda: os.kill(os.getpid(), signal.SIGKILL))
        chain(broken)

    assert _apart(die) == -signal.SIGKILL
    stage = broken / ".stages" / "original"
    if damage == "changed":
        (stage / "original.bin").write_bytes(b"other")
    elif damage == "missing":
        (stage / "original.bin").unlink()
    elif damage == "added":
        (stage / "more.bin").write_bytes(b"")
    elif damage == "record":
        (stage / "stage.json").write_bytes((stage / "stage.json").read_bytes()[:-9])
    else:
        (stage / "stage.json").write_text('{"files": {"../../../secret": "00"}, "wall_s": 1.0}')
    with pytest.raises(SecateurError, match="Start again in a new folder"):
        chain(broken)
    assert not (broken / "summary.json").exists()


def test_a_clock_that_goes_backwards_changes_nothing(tmp_path, whole, monkeypatch):
    now = [2e9]

    def backwards():
        now[0] -= 3600.0
        return now[0]

    monkeypatch.setattr(time, "time", backwards)
    folder = RunFolder(tmp_path / "run", {"seed": 0}, True)
    with folder:
        folder.stage("original", lambda to: (to / "x").write_bytes(b"x"))
    with (again := RunFolder(tmp_path / "run", {"seed": 0}, True)):
        again.stage("original", lambda to: None)
    assert again.earlier_s > 0
    chain(tmp_path / "other")
    _same(whole, tmp_path / "other")


NAMES_OF_FOLDERS = {
    "greek": "Ωμέγα και κενά",
    "kanji": "方策の剪定",
    "signs": "a'b\"c $(d) & [e] #f",
    "long": "l" * 255,
    "long in bytes": "長" * 85,
    "newline": "two\nlines",
}


@pytest.mark.parametrize("name", NAMES_OF_FOLDERS.values(), ids=NAMES_OF_FOLDERS)
def test_any_name_that_the_file_system_takes_will_do(tmp_path, whole, name):
    chain(tmp_path / name)
    _same(whole, tmp_path / name)
    runfolder.write_folder(tmp_path / "beside" / name, {"c/x.h": b"x"})
    assert (tmp_path / "beside" / name / "c" / "x.h").read_bytes() == b"x"


def test_a_deep_path_will_do_and_one_too_long_is_one_error(tmp_path, whole):
    deep = tmp_path
    while len(str(deep)) < 3000:
        deep = deep / ("d" * 200)
    chain(deep / "run")
    _same(whole, deep / "run")
    with pytest.raises((OSError, SecateurError)) as raised:
        chain(tmp_path / ("n" * 300))
    assert "too long" in str(refused(raised.value))
