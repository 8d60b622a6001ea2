"""Fetching probes, from archives in the published layouts and from damaged ones.

Covers ``probes.data.archive``.
"""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from probes.test_popqa import write_popqa

from forgetmeter.errors import UserError
from forgetmeter.probes.data.fetch import NOTE, fetch
from forgetmeter.probes.loading import load_task

Pack = Callable[[str, str], Path]


@pytest.fixture
def pack(data: Path, tmp_path: Path) -> Pack:
    """Zip a made-up probe in a folder, with unrelated files beside it."""

    def packed(probe: str, below: str) -> Path:
        path = tmp_path / f"{probe}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted((data / probe).rglob("*.json*")):
                archive.write(file, f"{below}{file.relative_to(data / probe)}")
            archive.writestr(f"{below}evil.py", "raise SystemExit")
            archive.writestr("../outside.jsonl", "{}")
            archive.writestr(f"{below}../../outside.jsonl", "{}")
        return path

    return packed


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Serve contents by path; of paths that contain ``cut``, only half."""
    served: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = served.get(self.path)
            if content is None:
                self.send_error(404, "Not Found")
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if "cut" in self.path else content)

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}", served
    listening.shutdown()
    listening.server_close()


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# LAMA's zip has data/; GitHub's archives have a folder named for the commit, BEAR's with two probes.
@pytest.mark.parametrize(
    ("name", "probe", "below"), [("lama", "LAMA", "data/"), ("bear", "BEAR", "BEAR-0a1b2c/BEAR/"), ("lama", "LAMA", "")]
)
def test_a_probe_is_fetched_whole_and_nothing_else(
    name: str, probe: str, below: str, pack: Pack, data: Path, server: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    address, served = server
    served["/data.zip"] = pack(probe, below).read_bytes()
    heard: list[tuple[int, int | None]] = []
    into = tmp_path / "new" / "data"
    fetched = fetch(name, data=into, source=f"{address}/data.zip", listen=lambda *how: heard.append(how))
    assert fetched.folder == into / probe
    assert heard[-1] == (len(served["/data.zip"]),) * 2
    found = everything(into)
    note = json.loads(found.pop(f"{probe}/{NOTE}"))
    assert note == {"address": f"{address}/data.zip", "sha256": fetched.sha256}
    assert found == {f"{probe}/{path}": content for path, content in everything(data / probe).items()}
    assert not list(tmp_path.rglob("outside*"))
    for task in fetched.relations:
        new, old = (load_task(task, data=folder) for folder in (into, data))
        assert [item.content_hash for item in new.items] == [item.content_hash for item in old.items]


def test_the_probe_of_that_name_is_taken_from_an_archive(pack: Pack, tmp_path: Path) -> None:
    path = pack("BEAR", "x/BEAR/")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x/BEAR-big/metadata_relations.json", "{}")
    assert fetch("bear", data=tmp_path / "new", source=str(path)).relations == {"bear": 2}


def test_complete_data_is_not_fetched_again(data: Path) -> None:
    before = everything(data)
    found = fetch("lama", data=data, source="http://127.0.0.1:1/none")
    assert (found.address, found.relations["lama/google_re"]) == (None, 3)
    assert everything(data) == before


def test_incomplete_data_is_named_and_left_alone(data: Path) -> None:
    (data / "BEAR" / "P36.jsonl").unlink()
    before = everything(data)
    with pytest.raises(UserError, match="'BEAR' is incomplete: .*P36.*; move '.*BEAR' away to fetch it again"):
        fetch("bear", data=data)
    assert everything(data) == before


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/none.zip", "none.zip cannot be fetched .Not Found.; download it another way, then: .* --from FILE.zip"),
        ("/cut.zip", "cut.zip ended after .* bytes"),
        ("/page.zip", "is not a complete zip archive"),
        ("/half.zip", "is not a complete zip archive"),
        ("/other.zip", "the archive contains no metadata_relations.json, so it is not BEAR"),
        ("/lacking.zip", "'BEAR' is incomplete: .*P36"),
    ],
)
def test_bad_archives_leave_nothing(
    path: str, says: str, pack: Pack, server: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    address, served = server
    whole = pack("BEAR", "BEAR/")
    served |= {"/cut.zip": whole.read_bytes(), "/page.zip": b"<html>", "/half.zip": whole.read_bytes()[:-300]}
    for kept, name in ((lambda _: False, "/other.zip"), (lambda each: "P36" not in each, "/lacking.zip")):
        less = tmp_path / "less.zip"
        with zipfile.ZipFile(whole) as old, zipfile.ZipFile(less, "w") as new:
            for each in filter(kept, old.namelist()):
                new.writestr(each, old.read(each))
            new.writestr("readme", "")
        served[name] = less.read_bytes()
    with pytest.raises(UserError, match=says):
        fetch("bear", data=tmp_path / "new", source=address + path)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("TREx/P36.jsonl", "'LAMA' is incomplete: .*P36"),
        ("Squad/test.jsonl", "'LAMA' is incomplete: .*test.jsonl"),
        ("relations.jsonl", "the archive contains no relations.jsonl"),
    ],
)
def test_a_partial_data_set_is_refused(damage: str, says: str, pack: Pack, tmp_path: Path) -> None:
    whole, less = pack("LAMA", "data/"), tmp_path / "less.zip"
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(less, "w") as new:
        for each in old.namelist():
            if each != f"data/{damage}":
                new.writestr(each, old.read(each))
        new.writestr("data/Squad/other.jsonl", "{}")
    with pytest.raises(UserError, match=says):
        fetch("lama", data=tmp_path / "new", source=str(less))
    assert not (tmp_path / "new").exists()


def test_invalid_facts_are_noticed(pack: Pack, data: Path, tmp_path: Path) -> None:
    (data / "BEAR" / "P36.jsonl").write_text("<html>not found</html>")
    with pytest.raises(UserError, match="'BEAR' is incomplete: .*P36.jsonl"):
        fetch("bear", data=tmp_path / "new", source=str(pack("BEAR", "BEAR/")))


@pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_compressions_are_checked_too(packing: int, pack: Pack, data: Path, tmp_path: Path) -> None:
    path = tmp_path / "packed.zip"
    with zipfile.ZipFile(path, "w", packing) as archive:
        for file in (data / "BEAR").iterdir():
            archive.write(file, f"BEAR/{file.name}")
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("BEAR/P36.jsonl").header_offset + 70
    content[at : at + 8] = b"\xff" * 8
    path.write_bytes(bytes(content))
    with pytest.raises(UserError):
        fetch("bear", data=tmp_path / "new", source=str(path))
    assert not (tmp_path / "new").exists()


def test_a_member_whose_content_is_damaged_is_noticed(pack: Pack, tmp_path: Path) -> None:
    path = pack("BEAR", "BEAR/")
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("BEAR/P36.jsonl").header_offset + 60
    content[at] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match="not a complete zip archive"):
        fetch("bear", data=tmp_path / "new", source=str(path))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("source", ["no/such.zip", "ftp://127.0.0.1/x.zip", "file:///etc/passwd"])
def test_other_addresses_are_refused(source: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        fetch("bear", data=tmp_path, source=source)


def test_an_unwritable_folder_is_reported(pack: Pack, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written .*; choose another --data"):
        fetch("bear", data=tmp_path / "file" / "data", source=str(pack("BEAR", "BEAR/")))


def test_unknown_probes_are_suggested(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown probe 'lamma'; did you mean 'lama'"):
        fetch("lamma", data=tmp_path)


def test_a_probe_of_a_single_file_is_fetched(server: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    address, served = server
    content = write_popqa(tmp_path / "made-up").read_bytes()
    served |= {"/test.tsv": content, "/cut.tsv": content, "/page.tsv": b"<html>", "/zip.tsv": b"PK\3\4"}
    fetched = fetch("popqa", data=tmp_path / "new", source=f"{address}/test.tsv")
    assert fetched.relations == {"popqa": 2}
    assert (fetched.folder / "popqa.tsv").read_bytes() == content
    local = fetch("popqa", data=tmp_path / "local", source=str(tmp_path / "made-up" / "PopQA" / "popqa.tsv"))
    assert local.sha256 == fetched.sha256
    for path, says in (
        ("cut", "ended after"), ("page", "'PopQA' is incomplete: .*has no rows"),
        ("zip", "'PopQA' is incomplete"), ("none", r"--from test\.tsv"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=says):
            fetch("popqa", data=tmp_path / "bad", source=f"{address}/{path}.tsv")
    with pytest.raises(UserError, match="does not exist .allowed: a file, an https"):
        fetch("popqa", data=tmp_path / "bad", source=str(tmp_path / "none"))
    assert not (tmp_path / "bad").exists()
