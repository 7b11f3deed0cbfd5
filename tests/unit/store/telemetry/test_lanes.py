"""A lane's checkpoints: what goes with them, what is replayed, and what a kill at any point leaves."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeostat.core.config import StorageConfig
from homeostat.core.errors import StoreFullError
from homeostat.core.logs import LogQuery
from homeostat.store.telemetry import disk
from homeostat.store.telemetry.attachments import ROLE_ROLLUP, ROLE_STATE, Attachment, SealExtras, write_durably
from homeostat.store.telemetry.catalogue import CATALOGUE_FILE, Catalogue
from homeostat.store.telemetry.lane import FlushPolicy
from homeostat.store.telemetry.log_segment import LOG_LAYOUT
from homeostat.store.telemetry.log_store import EmbeddedLogStore
from support.spans import NOON, HandClock
from support.telemetry import L, logs_body, logs_table

DAY = {"start": NOON - timedelta(hours=12), "end": NOON + timedelta(hours=12)}


class Holding:
    """Remembers, as tail sampling does: what it holds back, in a state, and what it has seen, in rollups."""

    def __init__(self) -> None:
        self.held_from: int | None = None
        self.seen: list[int] = []
        self.fails = False

    def on_seal(self, last_seq: int) -> SealExtras:
        seen, self.seen = self.seen, []

        def write(directory: Path) -> Sequence[Attachment]:
            write_durably(directory / f"state-{last_seq}", f"{self.held_from}".encode())
            write_durably(directory / f"rollup-{last_seq}", json.dumps(seen).encode())
            if self.fails:
                raise OSError(5, "Input/output error")
            return [
                Attachment(name=f"state-{last_seq}", role=ROLE_STATE),
                Attachment(name=f"rollup-{last_seq}", role=ROLE_ROLLUP),
            ]

        return SealExtras(self.held_from if self.held_from is not None else last_seq + 1, write)


def _open(
    directory: Path, holding: Holding | None = None, clock: HandClock | None = None, policy: FlushPolicy | None = None
) -> EmbeddedLogStore:
    config = StorageConfig(path=directory, min_free_mib=1)
    lane = EmbeddedLogStore(config, clock or HandClock(), policy)
    lane.on_seal = holding.on_seal if holding is not None else None
    return lane


def _take(lane: EmbeddedLogStore, holding: Holding, body: str, *, keep: bool = True) -> int:
    seq = lane.append([logs_body([L(body)])])
    lane.add(logs_table([L(body)] if keep else []), seq)
    holding.seen.append(seq)
    return seq


def _attachments(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "telemetry" / "logs" / "attachments").iterdir())


def _wal(directory: Path) -> list[Path]:
    return sorted((directory / "telemetry" / "logs" / "wal").iterdir())


def test_a_state_replaces_the_one_before_and_rollups_add_up(tmp_path: Path) -> None:
    holding = Holding()
    lane = _open(tmp_path, holding)
    assert list(lane.replay()) == []
    for number in range(3):
        _take(lane, holding, f"{number}")
        lane.seal()
        assert lane.flush()
    assert _attachments(tmp_path) == ["rollup-1", "rollup-2", "rollup-3", "state-3"]
    write_durably(lane.catalogue.attachment_dir / "rollup-1-2", b"[1, 2]")
    lane.catalogue.replace_attachments({"rollup-1", "rollup-2"}, [Attachment(name="rollup-1-2", role=ROLE_ROLLUP)])
    assert _attachments(tmp_path) == ["rollup-1-2", "rollup-3", "state-3"]
    assert lane.used_bytes() > 0
    again = _open(tmp_path)
    assert sorted(a.name for a in again.catalogue.state.attachments) == _attachments(tmp_path)
    assert again.problems == []


def test_what_is_held_back_is_replayed_and_said_to_be_settled(tmp_path: Path) -> None:
    holding = Holding()
    lane = _open(tmp_path, holding)
    assert list(lane.replay()) == []
    _take(lane, holding, "1")
    lane.seal()
    assert lane.flush()
    holding.held_from = _take(lane, holding, "2", keep=False)
    _take(lane, holding, "3")
    lane.seal()
    _take(lane, holding, "4")
    assert lane.flush()
    again = _open(tmp_path, Holding())
    assert [(record.seq, record.seq <= again.checkpoint) for record in again.replay()] == [
        (2, True),
        (3, True),
        (4, False),
    ]
    assert again.append([b"next"]) == 5


def test_the_log_lets_go_when_nothing_is_held_back_any_more(tmp_path: Path) -> None:
    clock, holding = HandClock(), Holding()
    lane = _open(tmp_path, holding, clock)
    assert list(lane.replay()) == []
    holding.held_from = _take(lane, holding, "1", keep=False)
    assert not lane.is_due
    clock.advance(61)
    assert lane.is_due, "without a row as well: the log would grow for ever"
    lane.seal()
    assert lane.flush()
    assert len(_wal(tmp_path)) == 1
    holding.held_from = None
    clock.advance(61)
    assert lane.is_due, "somebody held something back: it is asked again"
    lane.seal()
    assert lane.flush()
    assert _wal(tmp_path) == []
    clock.advance(3600)
    assert not lane.is_due, "nothing is left to settle"
    assert lane.segments == ()


def test_much_in_the_log_is_a_checkpoint_although_nothing_of_it_is_kept(tmp_path: Path) -> None:
    holding = Holding()
    lane = _open(tmp_path, holding, policy=FlushPolicy(log_bytes=1000))
    assert list(lane.replay()) == []
    while not lane.is_due:
        assert _take(lane, holding, "dropped", keep=False) < 100
    lane.seal()
    assert lane.flush()
    assert _wal(tmp_path) == []
    assert lane.catalogue.state.checkpoint == lane.last_seq


def test_attachments_of_a_checkpoint_that_failed_do_not_count(tmp_path: Path) -> None:
    holding = Holding()
    lane = _open(tmp_path, holding)
    assert list(lane.replay()) == []
    _take(lane, holding, "1")
    lane.seal()
    holding.fails = True
    assert not lane.flush()
    assert lane.status().state == "failing"
    after_a_crash = _open(tmp_path, Holding())
    assert _attachments(tmp_path) == [], "no catalogue names them"
    assert [record.seq for record in after_a_crash.replay()] == [1]
    holding.fails = False
    assert lane.flush(), "the same checkpoint is tried again"
    assert _attachments(tmp_path) == ["rollup-1", "state-1"]
    assert json.loads((lane.catalogue.attachment_dir / "rollup-1").read_text()) == [1]


@pytest.mark.parametrize("step", ["write_segment", "attachments", "catalogue", "discard"])
async def test_wherever_a_kill_comes_every_request_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    class KilledError(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise KilledError

    holding = Holding()
    lane = _open(tmp_path, holding)
    assert list(lane.replay()) == []
    for number in range(3):
        _take(lane, holding, f"{number}")
        lane.seal()
        assert lane.flush()
    _take(lane, holding, "3")
    lane.seal()
    places = {
        "write_segment": ("homeostat.store.telemetry.layout._write_parquet", killed),
        "attachments": ("homeostat.store.telemetry.attachments.disk.publish", killed),
        "catalogue": ("homeostat.store.telemetry.catalogue.Catalogue._save", killed),
        "discard": ("homeostat.store.telemetry.wal.WriteAheadLog.discard", killed),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*places[step])
        with pytest.raises(KilledError):
            lane.flush()
    again = _open(tmp_path, Holding())
    counted: list[int] = []
    for attachment in again.catalogue.state.attachments:
        if attachment.role == ROLE_ROLLUP:
            counted += json.loads((again.catalogue.attachment_dir / attachment.name).read_text())
    for record in again.replay():
        assert record.seq > again.checkpoint
        counted.append(record.seq)
        again.add(logs_table([L(f"{record.seq - 1}")]), record.seq)
    assert sorted(counted) == [1, 2, 3, 4]
    bodies = [record.body for record in (await again.logs(LogQuery(**DAY))).records]
    assert sorted(bodies) == ["0", "1", "2", "3"]


def _catalogue(directory: Path) -> Path:
    return directory / "telemetry" / "logs" / "segments" / CATALOGUE_FILE


def test_a_catalogue_from_before_attachments_loads(tmp_path: Path) -> None:
    lane = _open(tmp_path)
    assert list(lane.replay()) == []
    lane.add(logs_table([L("1")]), lane.append([logs_body([L("1")])]))
    lane.seal()
    assert lane.flush()
    state = json.loads(_catalogue(tmp_path).read_text())
    del state["attachments"], state["settled_below"]
    _catalogue(tmp_path).write_text(json.dumps(state))
    again = _open(tmp_path)
    assert again.catalogue.state == lane.catalogue.state
    assert again.problems == []


def test_without_its_catalogue_attachments_are_kept_and_reported(tmp_path: Path) -> None:
    holding = Holding()
    lane = _open(tmp_path, holding)
    assert list(lane.replay()) == []
    _take(lane, holding, "1")
    lane.seal()
    assert lane.flush()
    _catalogue(tmp_path).unlink()
    again = _open(tmp_path)
    assert _attachments(tmp_path) == ["rollup-1.unnamed", "state-1.unnamed"]
    assert len(again.problems) == 2
    assert [segment.rows for segment in again.segments] == [1]
    assert _open(tmp_path).problems == [], "reported once"
    assert _attachments(tmp_path) == ["rollup-1.unnamed", "state-1.unnamed"]


def test_an_attachment_that_is_gone_is_reported(tmp_path: Path) -> None:
    holding = Holding()
    lane = _open(tmp_path, holding)
    assert list(lane.replay()) == []
    _take(lane, holding, "1")
    lane.seal()
    assert lane.flush()
    (lane.catalogue.attachment_dir / "state-1").unlink()
    again = _open(tmp_path)
    assert "state-1" in again.status().detail
    assert [a.name for a in again.catalogue.state.attachments] == ["rollup-1"]


def _mutated(text: bytes, change: tuple[int, bytes, int]) -> bytes:
    at, piece, cut = change
    at %= len(text) + 1
    return text[:at] + piece + text[at + cut :]


@given(st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=6), st.integers(0, 40)), min_size=1, max_size=3))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_became_of_the_catalogue_the_store_opens_and_loses_no_file(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bytes, int]]
) -> None:
    directory = tmp_path_factory.mktemp("catalogue")
    holding = Holding()
    lane = _open(directory, holding)
    assert list(lane.replay()) == []
    for number in range(2):
        _take(lane, holding, f"{number}")
        lane.seal()
        assert lane.flush()
    lane.close()
    content = _catalogue(directory).read_bytes()
    for change in changes:
        content = _mutated(content, change)
    _catalogue(directory).write_bytes(content)
    again = _open(directory)
    list(again.replay())
    again.add(logs_table([L("next")]), again.append([logs_body([L("next")])]))
    again.seal()
    assert again.flush()
    for segment in again.parts()[1]:
        segment.read(["body"])
    again.close()


def test_a_catalogue_that_names_what_is_outside_is_none(tmp_path: Path) -> None:
    outside = tmp_path / "precious"
    outside.write_text("mine")
    folder = tmp_path / "segments"
    catalogue = Catalogue(folder, LOG_LAYOUT)
    state = json.loads((folder / CATALOGUE_FILE).read_text())
    state["attachments"] = [{"name": "../../precious", "role": "state"}]
    (folder / CATALOGUE_FILE).write_text(json.dumps(state))
    again = Catalogue(folder, LOG_LAYOUT)
    again.advance((), checkpoint=1, attachments=[])
    again.replace_attachments({"../../precious"}, [])
    assert outside.read_text() == "mine"
    assert catalogue.state.attachments == again.state.attachments == ()


@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_a_full_disk_refuses_and_room_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fill: float) -> None:
    lane = _open(tmp_path)
    assert list(lane.replay()) == []
    with monkeypatch.context() as patch:
        patch.setattr(disk, "free_bytes", lambda _: int(fill * 1000))
        with pytest.raises(StoreFullError):
            lane.append([logs_body([L()])])
        assert lane.status().state == "full"
    lane.append([logs_body([L()])])
    assert lane.status().state == "ok"
