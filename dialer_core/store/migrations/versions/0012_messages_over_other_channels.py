"""Messages over other channels than the telephone."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the tables forward."""
    op.create_table(
        "early_receipt",
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("provider_id", sa.String(length=128), nullable=False),
        sa.Column("delivered", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("channel", "provider_id", "delivered", name=op.f("pk_early_receipt")),
    )
    op.create_index("ix_early_receipt_at_utc", "early_receipt", ["at_utc"])

    op.create_table(
        "message",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("person_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("account_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("campaign_id", sa.String(length=64), nullable=True),
        sa.Column("phone_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("address", sa.String(length=128), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("template", sa.String(length=64), nullable=True),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("provider_template", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("when_uncertain", sa.String(length=8), nullable=False),
        sa.Column("request_key", sa.String(length=128), nullable=True),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("node", sa.String(length=64), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_after_utc", sa.DateTime(timezone=True), nullable=True),
        sa.Column("provider_id", sa.String(length=128), nullable=True),
        sa.Column("contact_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("evidence", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("cost_micro", sa.BigInteger(), nullable=True),
        sa.Column("cost_currency", sa.String(length=3), nullable=True),
        sa.Column("created_at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("submitted_at_utc", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at_utc", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_message_account_id_account")),
        sa.ForeignKeyConstraint(["contact_id"], ["contact.id"], name=op.f("fk_message_contact_id_contact")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_message_person_id_person")),
        sa.ForeignKeyConstraint(["phone_id"], ["phone.id"], name=op.f("fk_message_phone_id_phone")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
    )
    op.create_index("ix_message_account_id_created_at_utc", "message", ["account_id", "created_at_utc"])
    op.create_index(
        "ix_message_channel_address_created_at_utc", "message", ["channel", "address", "created_at_utc"]
    )
    op.create_index("ix_message_channel_provider_id", "message", ["channel", "provider_id"])
    op.create_index("ix_message_person_id_created_at_utc", "message", ["person_id", "created_at_utc"])
    op.create_index("ix_message_state_channel_next_at_utc", "message", ["state", "channel", "next_at_utc"])
    op.create_index(
        "uq_message_received",
        "message",
        ["channel", "provider_id"],
        unique=True,
        sqlite_where=sa.text("state = 'received'"),
        postgresql_where=sa.text("state = 'received'"),
    )
    op.create_index(
        "uq_message_request_key",
        "message",
        ["request_key"],
        unique=True,
        sqlite_where=sa.text("request_key IS NOT NULL"),
        postgresql_where=sa.text("request_key IS NOT NULL"),
    )


def downgrade() -> None:
    """Take the tables back."""
    op.drop_index("uq_message_request_key", table_name="message")
    op.drop_index("uq_message_received", table_name="message")
    op.drop_index("ix_message_state_channel_next_at_utc", table_name="message")
    op.drop_index("ix_message_person_id_created_at_utc", table_name="message")
    op.drop_index("ix_message_channel_provider_id", table_name="message")
    op.drop_index("ix_message_channel_address_created_at_utc", table_name="message")
    op.drop_index("ix_message_account_id_created_at_utc", table_name="message")

    op.drop_table("message")
    op.drop_index("ix_early_receipt_at_utc", table_name="early_receipt")

    op.drop_table("early_receipt")
