"""E-mail addresses of people, and the letters that go with a message."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the tables forward."""
    op.create_table(
        "email_address",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("person_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("address", sa.String(length=128), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("added_at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_email_address_person_id_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_email_address")),
    )
    op.create_index("ix_email_address_address", "email_address", ["address"])
    op.create_index(
        "uq_email_address_person_id_address", "email_address", ["person_id", "address"], unique=True
    )
    op.add_column("message", sa.Column("letters", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    """Take the tables back."""
    op.drop_column("message", "letters")
    op.drop_table("email_address")
