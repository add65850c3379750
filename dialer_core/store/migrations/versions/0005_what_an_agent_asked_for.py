"""What an agent asked for and has not got yet stands in the open interval, so that it outlives the engine."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COLUMNS = (
    ("wants_ready", sa.Boolean()),
    ("after_call", sa.String(length=16)),
    ("after_reason", sa.String(length=48)),
)


def upgrade() -> None:
    """Take the tables forward."""
    with op.batch_alter_table("agent_interval") as table:
        for name, kind in COLUMNS:
            table.add_column(sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    """Take the tables back."""
    with op.batch_alter_table("agent_interval") as table:
        for name, _ in reversed(COLUMNS):
            table.drop_column(name)
