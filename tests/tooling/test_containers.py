"""`python -m tools.try_containers` is for machines with a container engine; that nothing is missing from it is held here."""

from __future__ import annotations

import re

from tests.deploy.composing import OURS, development, production

from tools.containers import standins


def test_every_image_that_deploy_starts_from_has_a_stand_in() -> None:
    started = dict(re.findall(r"^FROM (\S+) AS (\S+)$", standins.DOCKERFILE.read_text(), re.MULTILINE))
    pulled = {name for name in started if name not in started.values()}
    for tree in (development(), production()):
        pulled |= {service["image"] for service in tree["services"].values() if not service["image"].startswith(OURS)}
    assert set(standins.names().values()) == pulled
