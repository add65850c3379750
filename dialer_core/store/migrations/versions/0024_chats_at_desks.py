"""Chats at agents' desks: what an agent has seen, and since when the person is known."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the tables forward."""
    op.add_column("chat", sa.Column("seen_at_utc", sa.DateTime(timezone=True)))
    op.add_column("chat", sa.Column("identified_at_utc", sa.DateTime(timezone=True)))


def downgrade() -> None:
    """Take the tables back."""
    op.drop_column("chat", "identified_at_utc")
    op.drop_column("chat", "seen_at_utc")
