"""What Alembic runs for every command; the connection is ours, in the configuration's attributes."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from dialer_core.store.columns import Id, UtcDateTime
from dialer_core.store.models import Base


def _render(kind: str, item: Any, _autogen: AutogenContext) -> str | Literal[False]:
    # a revision must not change when the models do
    if kind == "type" and isinstance(item, Id | UtcDateTime):
        return f"sa.{item.impl!r}"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_item=_render,
    render_as_batch=context.config.attributes["connection"].dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
