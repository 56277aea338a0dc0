"""The API against its own description: whatever is sent, no fault and nothing undescribed.

Schemathesis draws requests, right and wrong ones, from the description. A few for each address, so
that it is a matter of seconds; the same ones each time.
"""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    negative_data_rejection,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from starlette.applications import Starlette

from studio.api import PREFIX, api_mount
from studio.application import Studio
from studio.brief import Brief
from studio.config import Config
from studio.engine.gaussian import gaussian_model
from studio.person import LOCAL_PERSON
from studio.who import admit
from tests.batch_tools import good_lines, table, wait_for_batch
from tests.conftest import WAIT_SECONDS

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
NUM_EXAMPLES = 12

Api = tuple[schemathesis.BaseSchema, dict[str, str]]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API with something of everything in it, asked by the local user; and the ids of that."""
    model = gaussian_model()
    config = Config(
        data_dir=tmp_path_factory.mktemp("fuzz"),
        precision="float32",
        max_rows=2,
        api_requests_per_minute=10_000_000,
    )
    with Studio.open(config, card=model.card, load=lambda *_: model) as studio:
        studio.wait_until_ready(WAIT_SECONDS)
        job = studio.wait(studio.submit(Brief(subject="mug")).id, WAIT_SECONDS)
        batch_id = studio.batches.check("a.csv", table(*good_lines(2), ",,,,,,,,,")).batch.id
        studio.batches.start(batch_id)
        wait_for_batch(studio, batch_id)
        studio.hooks._allowed_hosts = frozenset({"127.0.0.1"})
        things = {
            "job_id": job.job.id,
            "picture_id": job.images[0].id,
            "batch_id": batch_id,
            "webhook_id": studio.hooks.add("local", "http://127.0.0.1:9/", ["job.failed"]).id,
            "key_id": studio.keys.create("local", "x", ["keys"])[0].id,
        }
        inner = Starlette(routes=[api_mount(studio)])

        async def app(scope, receive, send):  # type: ignore[no-untyped-def]
            if scope["type"] == "http":
                admit(scope, LOCAL_PERSON)
            await inner(scope, receive, send)

        yield schemathesis.openapi.from_asgi(f"{PREFIX}/openapi.json", app), things


def ask(
    operation: schemathesis.APIOperation, mode: GenerationMode, things: dict[str, str]
) -> collections.Counter[int]:
    """Send a few requests; how many answers there were of each hundred of statuses."""
    seen: collections.Counter[int] = collections.Counter()

    @settings(
        max_examples=NUM_EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: schemathesis.Case) -> None:
        if mode is GenerationMode.POSITIVE:  # what there is, or all would be "not found"
            case.path_parameters = {name: things[name] for name in case.path_parameters}
        seen[case.call_and_validate(checks=CHECKS).status_code // 100] += 1

    with contextlib.suppress(Unsatisfiable):  # nothing wrong can be sent there
        send()
    return seen


def test_whatever_is_sent_the_answer_is_as_described(api: Api) -> None:
    schema, things = api
    operations = [
        found.ok()
        for found in schema.exclude(path="/events").get_all_operations()  # which has no end
    ]
    assert len(operations) > 30
    seen: collections.Counter[int] = collections.Counter()
    for operation in operations:
        for mode in GenerationMode:
            seen += ask(operation, mode, things)
    assert seen[2] > 100
    assert seen[4] > 100
