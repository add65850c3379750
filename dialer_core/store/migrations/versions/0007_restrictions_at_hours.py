"""A restriction may hold at some hours of the callee only."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the table forward."""
    with op.batch_alter_table("restriction") as table:
        table.add_column(sa.Column("hours", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take the table back."""
    with op.batch_alter_table("restriction") as table:
        table.drop_column("hours")
