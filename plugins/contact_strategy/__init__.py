"""What a contact strategy does besides calling: its step `message` queues a message of a template.

It owns the hook and the step. When a step is due, that it is tried again, and when a strategy stops, is the core's; whether the message may
be sent, its gate's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dialer_core.plugin_api import (
    CommandRefusedError,
    EngineHandle,
    MessageRequest,
    StepSkippedError,
    StrategyAction,
    StrategyStep,
    hookimpl,
)


@hookimpl
def dialer_register_strategy_actions(engine: EngineHandle) -> Mapping[str, StrategyAction]:
    """Offer the step `message`: `data` has `template`, and what the template's `[given]` names under `given`."""

    async def message(step: StrategyStep) -> None:
        """Queue a message, once for the step, however often it is done."""
        given: dict[str, Any] = step.data.get("given", {})
        if step.campaign_id is None:
            raise StepSkippedError(
                "the strategy was begun for no campaign, and a message goes by a campaign's rules"
            )
        try:
            await engine.messages.queue(
                MessageRequest(
                    campaign_id=step.campaign_id,
                    account_id=step.account_id,
                    template=str(step.data.get("template", "")),
                    given={name: str(value) for name, value in given.items()},
                    request_key=step.key,
                )
            )
        except CommandRefusedError as error:
            if error.kind == "unknown":  # no such template or campaign: somebody will mend it
                raise
            raise StepSkippedError(str(error)) from error  # this person has no such number, or has not agreed

    return {"message": message}
