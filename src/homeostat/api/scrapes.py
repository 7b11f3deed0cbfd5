"""``GET /api/scrapes``: how the scraping of each target of ``metrics.scrape`` goes."""

from datetime import datetime

from fastapi import APIRouter

from homeostat.api.context import Here
from homeostat.core.models import Model

router = APIRouter(prefix="/api", tags=["metrics"])


class Scrape(Model):
    """One target and its last scrape."""

    job: str
    url: str
    up: bool | None  # null: not tried yet
    error: str
    scraped_at: datetime | None
    duration_s: float | None
    samples: int
    scrapes: int
    failures: int


@router.get("/scrapes")
async def scrapes(here: Here) -> list[Scrape]:
    """Every target, in the order of the configuration."""
    return [
        Scrape(
            job=state.target.job,
            url=state.target.url,
            up=state.up,
            error=state.error,
            scraped_at=state.scraped_at,
            duration_s=state.duration_s,
            samples=state.samples,
            scrapes=state.scrapes,
            failures=state.failures,
        )
        for state in here.parts.scrapes()
    ]
