"""The comparison that `tb push --force` makes between an endpoint and what would replace it, on recorded requests."""

from __future__ import annotations

import pytest
from flows.flow_server import Server
from flows.recorded import recorded_requests
from tb_client import Tb

BEFORE = "%\n    SELECT number AS n, number * {{ Int32(times, 1) }} AS product FROM numbers({{ Int32(rows, 3) }})"
SAME_RESULT = BEFORE.replace("number * ", "(number + 0) * ")
OTHER_RESULT = BEFORE.replace("number * ", "(number + 1) * ")


def pushed_and_called(tb: Tb, server: Server, name: str) -> str:
    """The path of a pushed pipe whose endpoint was called in several ways."""
    path = f"pipes/{name}.pipe"
    tb.write({path: f'TOKEN "{name}_read" READ\n\nNODE n\nSQL >\n    {BEFORE}\n'})
    tb("push", path)
    url = f"/v0/pipes/{name}.json"
    assert server.get(url, params={"times": "2"}).status_code == 200
    assert server.get(url, params={"times": "2", "rows": "5"}).status_code == 200
    assert server.get(url).status_code == 200
    assert server.post(url, data={"times": "4"}).status_code == 200
    assert server.get(url, params={"times": "x"}).status_code == 400
    recorded_requests(server, name, 5)
    return path


def replaced(tb: Tb, path: str, sql: str) -> None:
    text = (tb.folder / path).read_text("utf-8")
    tb.write({path: text.replace(BEFORE, sql)})


def test_an_endpoint_with_the_same_results_is_replaced(tb: Tb, server: Server) -> None:
    path = pushed_and_called(tb, server, "same_results")
    replaced(tb, path, SAME_RESULT)
    output = tb("push", path, "--force", "--yes")
    assert output.count("... ok") == 4
    assert server.get("/v0/pipes/same_results__checker").status_code == 404
    assert "number + 0" in server.get("/v0/pipes/same_results").json()["nodes"][0]["sql"]
    scopes = server.get("/v0/tokens/same_results_read").json()["scopes"]
    assert [scope["resource"] for scope in scopes] == ["same_results"]
    # Requests of the comparison are nobody's: the counts stay.
    recorded_requests(server, "same_results", 5)


def test_an_endpoint_with_other_results_is_not_replaced(tb: Tb, server: Server) -> None:
    path = pushed_and_called(tb, server, "other_results")
    replaced(tb, path, OTHER_RESULT)
    output = tb("push", path, "--force", "--yes", code=1)
    assert "FAIL" in output
    assert "number + 1" not in server.get("/v0/pipes/other_results").json()["nodes"][0]["sql"]
    assert server.get("/v0/pipes/other_results.json").json()["data"][1] == {"n": 1, "product": 1}


def test_an_endpoint_is_replaced_unseen_when_nobody_called_it(tb: Tb, server: Server) -> None:
    tb.write({"pipes/uncalled.pipe": f"NODE n\nSQL >\n    {BEFORE}\n"})
    tb("push", "pipes/uncalled.pipe")
    replaced(tb, "pipes/uncalled.pipe", OTHER_RESULT)
    tb("push", "pipes/uncalled.pipe", "--force", "--yes")
    assert server.get("/v0/pipes/uncalled.json").json()["data"][0] == {"n": 0, "product": 1}


@pytest.mark.parametrize("option", ["--no-check", "--check"])
def test_the_check_can_be_left_out(tb: Tb, server: Server, option: str) -> None:
    name = f"unchecked{option.replace('-', '_')}"
    path = pushed_and_called(tb, server, name)
    replaced(tb, path, OTHER_RESULT)
    tb("push", path, "--force", "--yes", option, code=0 if option == "--no-check" else 1)


def test_the_comparison_is_made_as_the_options_say(tb: Tb, server: Server) -> None:
    path = pushed_and_called(tb, server, "compared")
    server.get("/v0/pipes/compared.json", params={"times": "3"})
    recorded_requests(server, "compared", 6)
    forced = ("push", path, "--force", "--yes")
    replaced(tb, path, OTHER_RESULT)
    different = tb(*forced, code=1)
    assert different.count("... FAIL") > 1 and "key product" in different
    assert tb(*forced, "--failfast", code=1).count("... FAIL") == 1
    tb.write({path: (tb.folder / path).read_text("utf-8").replace("number + 1", "number + 0")})
    for options, requests in (
        (("--limit", "1"), 1),
        (("--sample-by-params", "1", "--ignore-order"), 4),
        (("--validate-processed-bytes",), 4),
    ):
        assert tb(*forced, *options).count("... ok") == requests, options
    tb.write({path: (tb.folder / path).read_text("utf-8").replace("number + 0", "number + 1")})
    assert "key product" not in tb.run(*forced, "--only-response-times").output
