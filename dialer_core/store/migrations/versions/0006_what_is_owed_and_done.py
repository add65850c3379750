"""What is owed, agreed, paid and done; what outcomes say of a number.

Columns are renamed, added and dropped in place: SQLite's way of copying a table would rewrite millions of rows.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the tables forward."""
    op.create_table(
        "attribute_mark",
        sa.Column("portfolio", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("sensitive", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("portfolio", "name", name=op.f("pk_attribute_mark")),
    )
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=48), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit")),
    )
    op.create_table(
        "target",
        sa.Column("campaign_id", sa.String(length=64), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("metric", sa.String(length=24), nullable=False),
        sa.Column("goal", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name=op.f("fk_target_campaign_id_campaign")
        ),
        sa.PrimaryKeyConstraint("campaign_id", "day", "metric", name=op.f("pk_target")),
    )
    op.create_table(
        "account_document",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("account_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_account_document_account_id_account")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_document")),
    )
    op.create_index("ix_account_document_account_id", "account_document", ["account_id"], unique=False)

    op.create_table(
        "consent",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("person_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("phone_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("granted", sa.Boolean(), nullable=False),
        sa.Column("source", sa.String(length=128), nullable=False),
        sa.Column("at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_consent_person_id_person")),
        sa.ForeignKeyConstraint(["phone_id"], ["phone.id"], name=op.f("fk_consent_phone_id_phone")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent")),
    )
    op.create_index("ix_consent_person_id_channel", "consent", ["person_id", "channel"], unique=False)

    op.create_table(
        "callback",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("lead_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("campaign_id", sa.String(length=64), nullable=False),
        sa.Column("agent_id", sa.String(length=64), nullable=True),
        sa.Column("phone_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("due_at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("open_from_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("made_at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name=op.f("fk_callback_attempt_id_attempt")),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name=op.f("fk_callback_campaign_id_campaign")
        ),
        sa.ForeignKeyConstraint(["lead_id"], ["lead.id"], name=op.f("fk_callback_lead_id_lead")),
        sa.ForeignKeyConstraint(["phone_id"], ["phone.id"], name=op.f("fk_callback_phone_id_phone")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_callback")),
    )
    op.create_index(
        "ix_callback_campaign_id_state_due_at_utc",
        "callback",
        ["campaign_id", "state", "due_at_utc"],
        unique=False,
    )
    op.create_index(
        "uq_callback_open_lead",
        "callback",
        ["lead_id"],
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )

    op.create_table(
        "promise",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("account_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("person_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("campaign_id", sa.String(length=64), nullable=True),
        sa.Column("attempt_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("agent_id", sa.String(length=64), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("settles_minor", sa.BigInteger(), nullable=True),
        sa.Column("grace_days", sa.Integer(), nullable=False),
        sa.Column("made_at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at_utc", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_promise_account_id_account")),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name=op.f("fk_promise_attempt_id_attempt")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_promise_person_id_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promise")),
    )
    op.create_index("ix_promise_account_id", "promise", ["account_id"], unique=False)
    op.create_index(
        "ix_promise_campaign_id_made_at_utc", "promise", ["campaign_id", "made_at_utc"], unique=False
    )
    op.create_index(
        "uq_promise_open",
        "promise",
        ["account_id"],
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )

    op.create_table(
        "payment",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("account_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("external_id", sa.String(length=128), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("paid_on", sa.String(length=10), nullable=False),
        sa.Column("promise_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("source", sa.String(length=128), nullable=False),
        sa.Column("received_at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_payment_account_id_account")),
        sa.ForeignKeyConstraint(["promise_id"], ["promise.id"], name=op.f("fk_payment_promise_id_promise")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment")),
    )
    op.create_index("ix_payment_paid_on", "payment", ["paid_on"], unique=False)
    op.create_index("ix_payment_promise_id", "payment", ["promise_id"], unique=False)
    op.create_index(
        "uq_payment_account_id_external_id", "payment", ["account_id", "external_id"], unique=True
    )

    op.create_table(
        "promise_instalment",
        sa.Column("promise_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("due_date", sa.String(length=10), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("paid_minor", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["promise_id"], ["promise.id"], name=op.f("fk_promise_instalment_promise_id_promise")
        ),
        sa.PrimaryKeyConstraint("promise_id", "position", name=op.f("pk_promise_instalment")),
    )
    op.create_index("ix_promise_instalment_due_date", "promise_instalment", ["due_date"], unique=False)

    op.execute("ALTER TABLE account RENAME COLUMN balance_cents TO balance_minor")
    op.add_column("account", sa.Column("status", sa.String(length=16), server_default="open", nullable=False))

    # the same two columns the other way round: payments and promises ask for an account's leads on every list
    op.drop_index("uq_lead_campaign_id_account_id", "lead")
    op.create_index("uq_lead_account_id_campaign_id", "lead", ["account_id", "campaign_id"], unique=True)

    # and here: before PostgreSQL has statistics, it would walk a whole portfolio in search of a few accounts
    op.drop_index("uq_account_portfolio_external_id", "account")
    op.create_index("uq_account_external_id_portfolio", "account", ["external_id", "portfolio"], unique=True)

    op.add_column("attempt", sa.Column("reason", sa.String(length=32), nullable=True))

    op.add_column("contact", sa.Column("external_id", sa.String(length=128), nullable=True))
    op.create_index(
        "uq_contact_external_id",
        "contact",
        ["external_id"],
        unique=True,
        sqlite_where=sa.text("external_id IS NOT NULL"),
        postgresql_where=sa.text("external_id IS NOT NULL"),
    )

    op.add_column("phone", sa.Column("tries", sa.Integer(), server_default="0", nullable=False))
    op.add_column("phone", sa.Column("answers", sa.Integer(), server_default="0", nullable=False))
    op.add_column("phone", sa.Column("last_answer_utc", sa.DateTime(timezone=True), nullable=True))
    op.add_column("phone", sa.Column("hours", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    """Take the tables back."""
    op.drop_column("phone", "hours")
    op.drop_column("phone", "last_answer_utc")
    op.drop_column("phone", "answers")
    op.drop_column("phone", "tries")

    op.drop_index("uq_contact_external_id", "contact")
    op.drop_column("contact", "external_id")

    op.drop_column("attempt", "reason")

    op.drop_index("uq_account_external_id_portfolio", "account")
    op.create_index("uq_account_portfolio_external_id", "account", ["portfolio", "external_id"], unique=True)
    op.drop_index("uq_lead_account_id_campaign_id", "lead")
    op.create_index("uq_lead_campaign_id_account_id", "lead", ["campaign_id", "account_id"], unique=True)

    op.drop_column("account", "status")
    op.execute("ALTER TABLE account RENAME COLUMN balance_minor TO balance_cents")

    op.drop_table("promise_instalment")

    op.drop_table("payment")

    op.drop_table("promise")

    op.drop_table("callback")

    op.drop_table("consent")

    op.drop_table("account_document")
    op.drop_table("target")
    op.drop_table("audit")
    op.drop_table("attribute_mark")
