"""What the pacers learned, hour by hour."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the tables forward."""
    op.create_table(
        "pacing_state",
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("segment", sa.String(length=64), nullable=False),
        sa.Column("hour_utc", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.Column("at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("pool", "segment", "hour_utc", name=op.f("pk_pacing_state")),
    )


def downgrade() -> None:
    """Take the tables back."""
    op.drop_table("pacing_state")
