"""What a message reminds of, so that it is taken back when that is paid; and restrictions of addresses as long as messages hold them."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the tables forward."""
    op.add_column("message", sa.Column("reminds", sa.JSON(none_as_null=True), nullable=True))
    _scope_value(64, 128)


def downgrade() -> None:
    """Take the tables back; what restricts a longer address goes, for it had no place before."""
    op.execute(sa.text("DELETE FROM restriction WHERE length(scope_value) > 64"))
    _scope_value(128, 64)
    op.drop_column("message", "reminds")


def _scope_value(before: int, after: int) -> None:
    with op.batch_alter_table("restriction") as table:
        table.alter_column(
            "scope_value",
            existing_type=sa.String(length=before),
            type_=sa.String(length=after),
            existing_nullable=False,
        )
