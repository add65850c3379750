"""Parts of long messages, each with a receipt of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the tables forward."""
    op.create_table(
        "message_part",
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("provider_id", sa.String(length=128), nullable=False),
        sa.Column("message_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("delivered", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"], ["message.id"], name=op.f("fk_message_part_message_id_message")
        ),
        sa.PrimaryKeyConstraint("channel", "provider_id", name=op.f("pk_message_part")),
    )
    op.create_index("ix_message_part_message_id", "message_part", ["message_id"])


def downgrade() -> None:
    """Take the tables back."""
    op.drop_table("message_part")
