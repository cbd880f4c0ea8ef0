"""A model.tar.gz from outside: unpacked where it is one, refused where it would write elsewhere or fill the disk."""

import gzip
import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from autopilot.policy import model_archive
from autopilot.policy.learned import BUILT_IN_MODEL, load_policy
from autopilot.policy.model_archive import ArchiveError, unpack
from autopilot.policy.model_place import ARCHIVE_FILE, unpacked
from autopilot.training.command import run_job
from autopilot.training.job import Job
from autopilot.wiring import build_policy

FILE, LINK, SYMLINK, CHAR, BLOCK, FIFO, DIR = b"0", b"1", b"2", b"3", b"4", b"6", b"5"


def entry(
    name: str, kind: bytes = FILE, content: bytes = b"x", link: str = "", **more
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content) if kind == FILE else 0
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


def archive(place: Path, *entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> Path:
    path = place / ARCHIVE_FILE
    with tarfile.open(path, "w:gz", format=form) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return path


def model_archive_of(directory: Path, place: Path) -> Path:
    with tarfile.open(place / ARCHIVE_FILE, "w:gz") as tar:
        tar.add(directory, ".")
    return place / ARCHIVE_FILE


BAD = {
    "a path up": [entry("../evil")],
    "a path up from within": [entry("1/../../evil")],
    "a path up at the end": [entry("..", DIR)],
    "an absolute path": [entry("/tmp/autopilot-evil")],
    "an absolute path with two strokes": [entry("//tmp/autopilot-evil")],
    "a path of another system": [entry("..\\evil")],
    "a symbolic link out": [entry("metadata.json", SYMLINK, link="/etc/passwd")],
    "a symbolic link within": [entry("a"), entry("metadata.json", SYMLINK, link="a")],
    "a directory that is a link, and a file in it": [entry("1", SYMLINK, link="/tmp"), entry("1/autopilot-evil")],
    "a hard link out": [entry("model.tflite", LINK, link="/etc/passwd")],
    "a hard link within": [entry("a"), entry("b", LINK, link="a")],
    "a character device": [entry("null", CHAR, devmajor=1, devminor=3)],
    "a block device": [entry("disk", BLOCK, devmajor=8)],
    "a pipe": [entry("pipe", FIFO)],
    "a file twice": [entry("a"), entry("a")],
    "a file twice, spelt in two ways": [entry("a"), entry("./a")],
    "a file where a directory is": [entry("a/b"), entry("a")],
    "a name of a thousand letters": [entry("a" * 1000)],
}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
@pytest.mark.parametrize("entries", BAD.values(), ids=BAD.keys())
def test_an_entry_that_is_no_plain_file_within_is_refused(tmp_path, entries, form):
    into, outside = tmp_path / "into", tmp_path / "evil"
    into.mkdir()
    with pytest.raises(ArchiveError):
        unpack(archive(tmp_path, *entries, form=form), into)
    assert not outside.exists()
    assert not Path("/tmp/autopilot-evil").exists()
    assert not [path for path in into.rglob("*") if path.is_symlink() or not (path.is_file() or path.is_dir())]


def test_too_many_entries_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(model_archive, "MOST_ENTRIES", 20)
    path = archive(tmp_path, *(entry(f"{n}") for n in range(21)))
    (tmp_path / "into").mkdir()
    with pytest.raises(ArchiveError, match="more than 20 entries"):
        unpack(path, tmp_path / "into")


def test_a_bomb_is_refused_before_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(model_archive, "MOST_BYTES", 10_000)
    path = archive(tmp_path, entry("small"), entry("big", content=b"\0" * 20_000))
    (tmp_path / "into").mkdir()
    with pytest.raises(ArchiveError):
        unpack(path, tmp_path / "into")
    assert [one.name for one in (tmp_path / "into").iterdir()] == ["small"]


def test_a_size_that_is_a_lie_is_refused(tmp_path):
    info, _ = entry("model.tflite")
    info.size = 300 << 20
    (tmp_path / ARCHIVE_FILE).write_bytes(gzip.compress(info.tobuf() + b"x" * 512))
    (tmp_path / "into").mkdir()
    with pytest.raises(ArchiveError):
        unpack(tmp_path / ARCHIVE_FILE, tmp_path / "into")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_would_fill_memory_is_refused(tmp_path, kind):
    """Such headers are read whole by tar's reader, before anybody can look at them."""
    info, _ = entry("x")
    info.type, info.size = kind, 100 << 20
    with gzip.open(tmp_path / ARCHIVE_FILE, "wb", compresslevel=1) as packed:
        packed.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(100):
            packed.write(b"\0" * (1 << 20))
    (tmp_path / "into").mkdir()
    with pytest.raises(ArchiveError, match="header"):
        unpack(tmp_path / ARCHIVE_FILE, tmp_path / "into")


@pytest.mark.parametrize(
    "content", [b"", b"not an archive", gzip.compress(b"not a tar" * 200), gzip.compress(b"x")[:-4]]
)
def test_what_is_no_archive_is_told(tmp_path, content):
    (tmp_path / ARCHIVE_FILE).write_bytes(content)
    (tmp_path / "into").mkdir()
    with pytest.raises(ArchiveError, match=ARCHIVE_FILE):
        unpack(tmp_path / ARCHIVE_FILE, tmp_path / "into")


def test_rights_and_owners_of_the_archive_mean_nothing(tmp_path):
    path = archive(tmp_path, entry("a", mode=0o6777, uid=4711), entry("d", DIR, mode=0o000))
    (tmp_path / "into").mkdir()
    before = os.umask(0o022)
    try:
        unpack(path, tmp_path / "into")
    finally:
        os.umask(before)
    assert (tmp_path / "into" / "a").stat().st_mode & 0o7777 == 0o644
    assert (tmp_path / "into" / "a").stat().st_uid == os.geteuid()


def test_an_archive_in_the_model_directory_is_served_and_leaves_nothing_behind(tmp_path, monkeypatch):
    model_archive_of(BUILT_IN_MODEL, tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    assert build_policy(tmp_path).name == load_policy(BUILT_IN_MODEL).name
    assert list((tmp_path / "temporary").iterdir()) == []


def test_an_archive_that_is_named_itself_is_served(tmp_path):
    archive = model_archive_of(BUILT_IN_MODEL, tmp_path)
    named = archive.rename(tmp_path / "mine.tar.gz")
    assert build_policy(named).name == load_policy(BUILT_IN_MODEL).name
    (tmp_path / "notes.txt").write_text("no archive")
    with pytest.raises(ArchiveError, match="cannot be unpacked"):
        build_policy(tmp_path / "notes.txt")


def test_a_model_beside_its_archive_is_the_model(tmp_path):
    shutil.copytree(BUILT_IN_MODEL, tmp_path / "model")
    (tmp_path / "model" / ARCHIVE_FILE).write_bytes(b"left over")
    with unpacked(tmp_path / "model") as place:
        assert place == tmp_path / "model"


@pytest.fixture
def job(tmp_path):
    (tmp_path / "input/data/model").mkdir(parents=True)
    return Job(tmp_path)


def test_the_model_channel_takes_the_archive_that_the_platform_leaves_there(job, monkeypatch):
    model_archive_of(BUILT_IN_MODEL, job.root / "input/data/model")
    seen = []

    def run(job, told, stop, engine):
        seen.append((load_policy(job.channel("model")).name, (job.channel("model") / "1/saved_model.pb").is_file()))

    monkeypatch.setattr("autopilot.training.run.run_fleet", run)
    assert run_job(job, {"warm_start": "model"}) == 0
    assert seen == [(load_policy(BUILT_IN_MODEL).name, True)]


def test_a_job_with_an_archive_that_leads_out_fails_with_the_reason(job):
    archive(job.root / "input/data/model", entry("../../../evil"))
    assert run_job(job, {"warm_start": "model"}) == 1
    assert "leads out of the directory" in (job.root / "output/failure").read_text()
    assert not list(job.root.rglob("evil"))
