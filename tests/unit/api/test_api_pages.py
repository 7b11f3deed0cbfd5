"""The dashboard's files, the page of the API, and what is said where there is no dashboard."""

import gzip
from pathlib import Path

import pytest
from api_parts import Setup

from homeostat import web

PAGE = "<!doctype html><title>H</title><script>theme()</script><script type=module src=/assets/a-1.js></script>"


@pytest.fixture
def static(tmp_path: Path) -> Path:
    """A built dashboard, small."""
    root = tmp_path / "static"
    (root / "assets").mkdir(parents=True)
    (root / "index.html").write_text(PAGE)
    (root / "assets" / "a-1.js").write_text("let a = 1;\n" * 500)
    (tmp_path / "secret.txt").write_text("not for you")
    return root


async def test_the_page_is_asked_for_anew_and_its_files_are_kept(setup: Setup, static: Path) -> None:
    async with setup.client(static_dir=static) as client:
        page = await client.get("/")
        again = await client.get("/", headers={"if-none-match": page.headers["etag"]})
        script = await client.get("/assets/a-1.js", headers={"accept-encoding": "gzip"})
        plain = await client.get("/assets/a-1.js", headers={"accept-encoding": "identity"})
    assert page.headers["cache-control"] == "no-cache"
    assert again.status_code == 304
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert script.headers["content-encoding"] == "gzip"
    assert script.text == plain.text
    assert int(script.headers["content-length"]) < int(plain.headers["content-length"]) / 10
    assert script.headers["content-type"].startswith("text/javascript")


async def test_the_page_may_run_its_own_inline_script_and_no_other(setup: Setup, static: Path) -> None:
    async with setup.client(static_dir=static) as client:
        policy = (await client.get("/")).headers["content-security-policy"]
    # echo -n 'theme()' | openssl dgst -sha256 -binary | base64
    assert "script-src 'self' 'sha256-Rfr3GgHZFiXm+TmNr+li+0sZ4J9FGllo8jsXcJF5XZ8=';" in policy
    assert "unsafe-eval" not in policy


async def test_a_page_of_the_dashboards_own_router_is_the_page(setup: Setup, static: Path) -> None:
    async with setup.client(static_dir=static) as client:
        assert (await client.get("/incidents/incident-1?tab=story")).text == PAGE
        assert (await client.head("/incidents")).status_code == 200
        assert (await client.get("/assets/old-0.js")).status_code == 404
        assert (await client.get("/api/nothing")).json()["detail"].startswith("There is no /api/nothing.")


@pytest.mark.parametrize(
    "path", ["/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/assets/%00", "/" + "x" * 5000]
)
async def test_nothing_outside_of_the_folder_is_served(setup: Setup, static: Path, path: str) -> None:
    async with setup.client(static_dir=static) as client:
        answer = await client.get(path)
    assert answer.status_code in {200, 404}
    assert "not for you" not in answer.text


async def test_a_rebuilt_page_is_served_without_a_restart(setup: Setup, static: Path) -> None:
    async with setup.client(static_dir=static) as client:
        await client.get("/")
        (static / "index.html").write_text("<title>new, and longer than nothing</title>")
        assert "new, and longer" in (await client.get("/")).text


async def test_a_file_that_was_compressed_at_build_time_is_taken_as_it_is(setup: Setup, static: Path) -> None:
    (static / "assets" / "a-1.js.gz").write_bytes(gzip.compress(b"from the build"))
    async with setup.client(static_dir=static) as client:
        assert (await client.get("/assets/a-1.js", headers={"accept-encoding": "gzip"})).text == "from the build"


def test_the_built_dashboard_brings_every_larger_text_packed() -> None:
    root = web.static_dir()
    if root is None:
        pytest.skip("the dashboard is not built (python hatch_build.py)")
    texts = [
        file for file in root.rglob("*") if file.suffix in {".html", ".js", ".css"} and file.stat().st_size >= 1024
    ]
    assert texts
    for file in texts:
        assert gzip.decompress(file.with_name(f"{file.name}.gz").read_bytes()) == file.read_bytes(), file.name


async def test_without_a_dashboard_a_page_says_how_to_build_it(setup: Setup, tmp_path: Path) -> None:
    for static_dir in (None, tmp_path / "nothing-here"):
        async with setup.client(static_dir=static_dir) as client:
            answer = await client.get("/")
        assert answer.status_code == 200
        assert "hatch_build.py" in answer.text


async def test_the_api_describes_itself_without_foreign_scripts(setup: Setup) -> None:
    async with setup.client() as client:
        docs = await client.get("/docs")
        description = (await client.get("/openapi.json")).json()
    assert "GET</span> /api/incidents/{incident_id}" in docs.text
    assert "<script" not in docs.text
    assert "default-src 'none'" in docs.headers["content-security-policy"]
    assert "/api/v3/self-healing/manual-remediate/{issue_id}" in description["paths"]
    assert "/api/journey-simulation/{path}" not in description["paths"]
