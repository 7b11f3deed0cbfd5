"""The objectives there are: built in, out of OpenSLO files, made over the API. Used by ``service``.

A change is on disk when it returns.
"""

from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError

from homeostat.core.config import SloConfig
from homeostat.core.errors import ConflictError, NotFoundError, StoreError
from homeostat.core.ports import Clock, DocumentStore, Ids
from homeostat.core.slo import Slo, SloSource
from homeostat.observe.slo.checks import refuse_bad
from homeostat.observe.slo.definitions import default_slos, stable_id
from homeostat.observe.slo.openslo_files import read_paths

SLOS_MAX: Final = 200
"""An objective of 30 days takes 350 kB of memory."""

KIND: Final = "slo"
REMOVED_KIND: Final = "slo_removed"
"""Built-in objectives that somebody deleted: they must not come back with the next start."""


class SloBook:
    """Definitions by id. Belongs to the event loop."""

    def __init__(self, config: SloConfig, documents: DocumentStore, clock: Clock, ids: Ids) -> None:
        self._config = config
        self._documents = documents
        self._clock = clock
        self._ids = ids
        self._slos: dict[str, Slo] = {}

    async def open(self) -> None:
        """Read everything. Raises ConfigError with every problem of the files, StoreError for the database."""
        now = self._clock.now()
        removed = await self._documents.documents(REMOVED_KIND)
        stored = {slo_id: _stored(slo_id, body) for slo_id, body in (await self._documents.documents(KIND)).items()}
        built_in = default_slos(now) if self._config.defaults else []
        slos = {slo.id: slo for slo in built_in if slo.id not in removed} | stored
        for slo in read_paths(self._config.files, now):
            slos[slo.id] = slo.model_copy(update={"source": SloSource.FILE})
        self._slos = slos

    def all(self) -> list[Slo]:
        """By service and name."""
        return sorted(self._slos.values(), key=lambda slo: (slo.service, slo.name, slo.id))

    def find(self, slo_id: str) -> Slo | None:
        """None: there is no such one."""
        return self._slos.get(slo_id)

    def get(self, slo_id: str) -> Slo:
        """Raises NotFoundError."""
        slo = self._slos.get(slo_id)
        if slo is None:
            raise NotFoundError(f"There is no SLO {slo_id!r}. GET /api/slos lists them.")
        return slo

    def new_id(self) -> str:
        """An id that is not taken: ``slo-<8 hex>``."""
        while True:
            slo_id = stable_id(self._ids.new("slo"))
            if slo_id not in self._slos:
                return slo_id

    async def put(self, slos: Sequence[Slo]) -> None:
        """Make or replace. Raises BadRequestError, or ConflictError for one that a file defines; then none is."""
        for slo in slos:
            refuse_bad(slo)
            self._refuse_of_file(slo.id)
        if len(self._slos.keys() | {slo.id for slo in slos}) > SLOS_MAX:
            raise ConflictError(f"There can be {SLOS_MAX} SLOs at most. Delete some first.")
        for slo in slos:
            kept = slo.model_copy(update={"source": SloSource.API})
            await self._documents.put_document(KIND, slo.id, kept.model_dump_json())
            await self._documents.delete_document(REMOVED_KIND, slo.id)
            self._slos[slo.id] = kept

    async def delete(self, slo_id: str) -> Slo:
        """Raises NotFoundError, or ConflictError for one that a file defines."""
        slo = self.get(slo_id)
        self._refuse_of_file(slo_id)
        if slo_id in {default.id for default in default_slos(self._clock.now())}:
            await self._documents.put_document(REMOVED_KIND, slo_id, "{}")
        await self._documents.delete_document(KIND, slo_id)
        del self._slos[slo_id]
        return slo

    def _refuse_of_file(self, slo_id: str) -> None:
        known = self._slos.get(slo_id)
        if known is not None and known.source is SloSource.FILE:
            raise ConflictError(
                f"SLO {slo_id} ({known.name}) comes from a file of slo.files. Change it there and restart Homeostat."
            )


def _stored(slo_id: str, body: str) -> Slo:
    try:
        return Slo.model_validate_json(body)
    except ValidationError as error:
        raise StoreError(
            f"The stored SLO {slo_id} cannot be read ({error.error_count()} fields do not fit). "
            "It was written by another version: start that one and export it, or delete it there."
        ) from error
