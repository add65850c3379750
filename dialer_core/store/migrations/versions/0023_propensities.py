"""How likely each lead is to answer, by the hour, as told by whoever scores the list."""

import sqlalchemy as sa
from alembic import op

from dialer_core.store.columns import UtcDateTime

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the tables forward."""
    op.add_column("lead", sa.Column("propensity", sa.String(48), nullable=True))
    op.add_column("lead", sa.Column("propensity_at_utc", UtcDateTime(), nullable=True))


def downgrade() -> None:
    """Take the tables back."""
    op.drop_column("lead", "propensity_at_utc")
    op.drop_column("lead", "propensity")
