"""`forecourt events rebuild`: what a subscriber made of the event log, made anew."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cyclopts import App

from forecourt.engines import EngineError
from forecourt.terminal import Data, engines, in_house, out, read_settings, steps

if TYPE_CHECKING:
    from forecourt.app import House
    from forecourt.kernel.events import Subscription
    from forecourt.kernel.rebuild import Progress, Rebuilt


def add_to(app: App) -> None:
    """Make the command part of `forecourt events`."""
    app.command(rebuild, name="rebuild")


def rebuild(subscriber: str, *, data: Data = None) -> None:
    """Make anew what a subscriber keeps: from its oldest snapshot and all that the log has since then.

    For when its handler was mended, or its rows were lost. The house goes on meanwhile; readers see the old state until they see
    the new one. What does not come to an end has changed nothing. Only who keeps a state made of events alone can be rebuilt: the
    others act, and would write their old mails again.

    Example: forecourt events rebuild kernel.tallies
    """
    settings = read_settings(data)
    made: list[Rebuilt] = []
    with steps() as report, engines(settings, report) as running:

        async def anew(house: House) -> None:
            from forecourt.kernel.rebuild import CannotRebuild
            from forecourt.kernel.rebuild import rebuild as rebuilt

            def told(progress: Progress) -> None:
                until = f", until {progress.at:%Y-%m-%d %H:%M} UTC" if progress.at else ""
                report(f"Handing events over: {progress.handled:,}{until}")

            try:
                made.append(await rebuilt(house.database, find(house.subscriptions, subscriber), told))
            except CannotRebuild as e:
                raise EngineError(f"{e}", "Nothing was changed.") from e

        asyncio.run(in_house(settings, running, anew))
    out.print(tell(subscriber, made[0]), soft_wrap=True)


def find(subscriptions: Sequence[Subscription], name: str) -> Subscription:
    """The subscriber of that name. Raises EngineError with the names of those that can be rebuilt when there is none."""
    for subscription in subscriptions:
        if subscription.subscriber == name:
            return subscription
    can = ", ".join(sorted(s.subscriber for s in subscriptions if s.state is not None))
    raise EngineError(f"There is no subscriber called {name}.", f"These can be rebuilt: {can}.")


def tell(subscriber: str, made: Rebuilt) -> str:
    base = "from the beginning" if made.from_the_beginning else f"on the snapshot of {made.snapshot_at:%Y-%m-%d}"
    return f"{subscriber} was made anew of {made.handled:,} events, {base}."
