"""What several nodes share, and whose log-in an agent's interval is."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the tables forward."""
    op.create_table(
        "lease",
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=512), nullable=False),
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("until_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=True),
        sa.Column("calls_per_second", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("kind", "name", "node", name=op.f("pk_lease")),
    )
    op.add_column(
        "agent_interval", sa.Column("node", sa.String(length=64), server_default="", nullable=False)
    )


def downgrade() -> None:
    """Take the tables back."""
    op.drop_column("agent_interval", "node")
    op.drop_table("lease")
