"""What all tests share: no deadline in hypothesis (a busy machine is no bug); a server of the model in the box."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.lvlm.served import Service, serving

settings.register_profile("shared", deadline=None)
settings.load_profile("shared")


@pytest.fixture(scope="session")
def running() -> Iterator[Service]:
    with serving() as one:
        yield one


@pytest.fixture
def service(running: Service) -> Service:
    """The server, behaving well."""
    running.set()
    return running
