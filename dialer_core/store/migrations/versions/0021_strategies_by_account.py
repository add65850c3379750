"""Strategies found by their account: asked for with each one that begins, and by each account that is opened."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the tables forward."""
    op.create_index("ix_strategy_run_account_id", "strategy_run", ["account_id"])


def downgrade() -> None:
    """Take the tables back."""
    op.drop_index("ix_strategy_run_account_id", "strategy_run")
