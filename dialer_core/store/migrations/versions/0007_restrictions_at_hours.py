"""A restriction may hold at some hours of the callee only; and the abandonment ledger is counted along an index of the live answers."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ANSWERS = "ix_attempt_answered_live"
WHERE = "(live_answer OR abandoned)"


def upgrade() -> None:
    """Take the tables forward."""
    with op.batch_alter_table("restriction") as table:
        table.add_column(sa.Column("hours", sa.Text(), nullable=True))
    op.create_index(
        ANSWERS,
        "attempt",
        ["campaign_id", "committed_at_utc", "abandoned", "disposition", "live_answer", "id"],
        sqlite_where=sa.text(WHERE),
        postgresql_where=sa.text(WHERE),
    )


def downgrade() -> None:
    """Take the tables back."""
    op.drop_index(ANSWERS, "attempt")
    with op.batch_alter_table("restriction") as table:
        table.drop_column("hours")
