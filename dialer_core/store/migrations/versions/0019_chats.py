"""Chats: who answers what a person writes."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the tables forward."""
    op.create_table(
        "chat",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("address", sa.String(length=128), nullable=False),
        sa.Column("person_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("account_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("campaign_id", sa.String(length=64), nullable=True),
        sa.Column("phone_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("flow", sa.String(length=64), nullable=False),
        sa.Column("place", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("agent_id", sa.String(length=64), nullable=True),
        sa.Column("began_at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("waits_since_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_chat_account_id_account")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_chat_person_id_person")),
        sa.ForeignKeyConstraint(["phone_id"], ["phone.id"], name=op.f("fk_chat_phone_id_phone")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chat")),
    )
    op.create_index("ix_chat_person_id", "chat", ["person_id"])
    op.create_index("ix_chat_state_waits_since_utc", "chat", ["state", "waits_since_utc"])
    op.create_index(
        "uq_chat_open",
        "chat",
        ["channel", "address"],
        unique=True,
        sqlite_where=sa.text("state <> 'closed'"),
        postgresql_where=sa.text("state <> 'closed'"),
    )


def downgrade() -> None:
    """Take the tables back."""
    op.drop_table("chat")
