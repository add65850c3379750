"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the tables forward."""
    op.create_table(
        "agent",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sip_uri", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent")),
    )
    op.create_table(
        "campaign",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("changed_at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign")),
    )
    op.create_table(
        "event",
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("boot_id", sa.String(length=64), nullable=False),
        sa.Column("at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("at_mono_ns", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=48), nullable=False),
        sa.Column("campaign_id", sa.String(length=64), nullable=True),
        sa.Column("account_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("attempt_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("node", "source", "seq", name=op.f("pk_event")),
    )
    op.create_index("ix_event_attempt_id", "event", ["attempt_id"], unique=False)
    op.create_index("ix_event_name_at_utc", "event", ["name", "at_utc"], unique=False)
    op.create_table(
        "import_run",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("campaign_id", sa.String(length=64), nullable=True),
        sa.Column("file_sha256", sa.String(length=64), nullable=False),
        sa.Column("accepted", sa.Integer(), nullable=False),
        sa.Column("updated", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_run")),
    )
    op.create_index(op.f("ix_import_run_file_sha256"), "import_run", ["file_sha256"], unique=False)
    op.create_table(
        "person",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("external_id", sa.String(length=128), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("region", sa.String(length=16), nullable=True),
        sa.Column("created_at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
        sa.UniqueConstraint("external_id", name=op.f("uq_person_external_id")),
    )
    op.create_table(
        "restriction",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("scope_value", sa.String(length=64), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=True),
        sa.Column("source", sa.String(length=128), nullable=False),
        sa.Column("from_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until_utc", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_restriction")),
    )
    op.create_index("ix_restriction_scope_scope_value", "restriction", ["scope", "scope_value"], unique=False)
    op.create_table(
        "account",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("person_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("portfolio", sa.String(length=64), nullable=False),
        sa.Column("external_id", sa.String(length=128), nullable=False),
        sa.Column("creditor", sa.Text(), nullable=False),
        sa.Column("product", sa.String(length=64), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("balance_cents", sa.BigInteger(), nullable=True),
        sa.Column("days_past_due", sa.Integer(), nullable=True),
        sa.Column("due_date", sa.String(length=10), nullable=True),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("created_at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_account_person_id_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
    )
    op.create_index(op.f("ix_account_person_id"), "account", ["person_id"], unique=False)
    op.create_index("uq_account_portfolio_external_id", "account", ["portfolio", "external_id"], unique=True)
    op.create_table(
        "phone",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("person_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("e164", sa.String(length=20), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("zones", sa.Text(), nullable=False),
        sa.Column("consent", sa.Boolean(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_outcome", sa.String(length=24), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_phone_person_id_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_phone")),
    )
    op.create_index(op.f("ix_phone_e164"), "phone", ["e164"], unique=False)
    op.create_index("uq_phone_person_id_e164", "phone", ["person_id", "e164"], unique=True)
    op.create_table(
        "lead",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("campaign_id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("person_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("priority", sa.Float(), nullable=False),
        sa.Column("next_at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("waiting_for", sa.String(length=32), nullable=True),
        sa.Column("blocked_rule", sa.String(length=64), nullable=True),
        sa.Column("blocked_reason", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_outcome", sa.String(length=24), nullable=True),
        sa.Column("finished_reason", sa.String(length=32), nullable=True),
        sa.Column("created_at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_lead_account_id_account")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_lead_campaign_id_campaign")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_lead_person_id_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lead")),
    )
    op.create_index(
        "ix_lead_hopper",
        "lead",
        ["campaign_id", "state", "next_at_utc", sa.text("priority DESC"), "attempts", "id"],
        unique=False,
    )
    op.create_index(op.f("ix_lead_person_id"), "lead", ["person_id"], unique=False)
    op.create_index("uq_lead_campaign_id_account_id", "lead", ["campaign_id", "account_id"], unique=True)
    op.create_table(
        "attempt",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("boot_id", sa.String(length=64), nullable=False),
        sa.Column("campaign_id", sa.String(length=64), nullable=False),
        sa.Column("lead_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("account_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("person_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("phone_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("number", sa.String(length=20), nullable=False),
        sa.Column("trunk", sa.String(length=64), nullable=False),
        sa.Column("retry_of", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("outcome", sa.String(length=24), nullable=True),
        sa.Column("sip_code", sa.Integer(), nullable=True),
        sa.Column("q850", sa.Integer(), nullable=True),
        sa.Column("ended_by", sa.String(length=8), nullable=True),
        sa.Column("call_id", sa.String(length=255), nullable=True),
        sa.Column("worker", sa.String(length=64), nullable=True),
        sa.Column("verdict", sa.String(length=16), nullable=True),
        sa.Column("verdict_reason", sa.String(length=48), nullable=True),
        sa.Column("verdict_revised_from", sa.String(length=16), nullable=True),
        sa.Column("live_answer", sa.Boolean(), nullable=False),
        sa.Column("abandoned", sa.Boolean(), nullable=False),
        sa.Column("agent_id", sa.String(length=64), nullable=True),
        sa.Column("disposition", sa.String(length=32), nullable=True),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("committed_at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at_utc", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_mono_ns", sa.BigInteger(), nullable=True),
        sa.Column("ringing_mono_ns", sa.BigInteger(), nullable=True),
        sa.Column("answered_mono_ns", sa.BigInteger(), nullable=True),
        sa.Column("verdict_mono_ns", sa.BigInteger(), nullable=True),
        sa.Column("greeting_end_mono_ns", sa.BigInteger(), nullable=True),
        sa.Column("bridged_mono_ns", sa.BigInteger(), nullable=True),
        sa.Column("abandoned_mono_ns", sa.BigInteger(), nullable=True),
        sa.Column("ended_mono_ns", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_attempt_account_id_account")),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name=op.f("fk_attempt_campaign_id_campaign")
        ),
        sa.ForeignKeyConstraint(["lead_id"], ["lead.id"], name=op.f("fk_attempt_lead_id_lead")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_attempt_person_id_person")),
        sa.ForeignKeyConstraint(["phone_id"], ["phone.id"], name=op.f("fk_attempt_phone_id_phone")),
        sa.ForeignKeyConstraint(["retry_of"], ["attempt.id"], name=op.f("fk_attempt_retry_of_attempt")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
    )
    op.create_index(op.f("ix_attempt_call_id"), "attempt", ["call_id"], unique=False)
    op.create_index(
        "ix_attempt_campaign_id_committed_at_utc",
        "attempt",
        ["campaign_id", "committed_at_utc"],
        unique=False,
    )
    op.create_index("ix_attempt_lead_id", "attempt", ["lead_id"], unique=False)
    op.create_index(
        "uq_attempt_live_number",
        "attempt",
        ["number"],
        unique=True,
        sqlite_where=sa.text("live"),
        postgresql_where=sa.text("live"),
    )
    op.create_index(
        "uq_attempt_live_person",
        "attempt",
        ["person_id"],
        unique=True,
        sqlite_where=sa.text("live"),
        postgresql_where=sa.text("live"),
    )
    op.create_table(
        "agent_interval",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("agent_id", sa.String(length=64), nullable=False),
        sa.Column("session_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=48), nullable=False),
        sa.Column("attempt_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("boot_id", sa.String(length=64), nullable=False),
        sa.Column("from_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("to_utc", sa.DateTime(timezone=True), nullable=True),
        sa.Column("from_mono_ns", sa.BigInteger(), nullable=False),
        sa.Column("to_mono_ns", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"], name=op.f("fk_agent_interval_agent_id_agent")),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["attempt.id"], name=op.f("fk_agent_interval_attempt_id_attempt")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_interval")),
    )
    op.create_index(
        "ix_agent_interval_agent_id_from_utc", "agent_interval", ["agent_id", "from_utc"], unique=False
    )
    op.create_index(op.f("ix_agent_interval_session_id"), "agent_interval", ["session_id"], unique=False)
    op.create_index(
        "uq_agent_interval_open",
        "agent_interval",
        ["agent_id"],
        unique=True,
        sqlite_where=sa.text("to_utc IS NULL"),
        postgresql_where=sa.text("to_utc IS NULL"),
    )
    op.create_table(
        "contact",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("person_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("account_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("attempt_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("campaign_id", sa.String(length=64), nullable=True),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("address", sa.String(length=128), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settlement", sa.String(length=16), nullable=False),
        sa.Column("outcome", sa.String(length=24), nullable=True),
        sa.Column("conversation", sa.Boolean(), nullable=False),
        sa.Column("prior", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_contact_account_id_account")),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name=op.f("fk_contact_attempt_id_attempt")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_contact_person_id_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact")),
    )
    op.create_index("ix_contact_account_id_at_utc", "contact", ["account_id", "at_utc"], unique=False)
    op.create_index("ix_contact_address_at_utc", "contact", ["address", "at_utc"], unique=False)
    op.create_index(op.f("ix_contact_attempt_id"), "contact", ["attempt_id"], unique=False)
    op.create_index("ix_contact_person_id_at_utc", "contact", ["person_id", "at_utc"], unique=False)
    op.create_table(
        "leg",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("attempt_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("agent_id", sa.String(length=64), nullable=True),
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("worker", sa.String(length=64), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("call_id", sa.String(length=255), nullable=True),
        sa.Column("dialog", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("media_port", sa.Integer(), nullable=True),
        sa.Column("codec", sa.String(length=16), nullable=True),
        sa.Column("sip_code", sa.Integer(), nullable=True),
        sa.Column("statistics", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("opened_at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at_utc", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name=op.f("fk_leg_attempt_id_attempt")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leg")),
    )
    op.create_index(op.f("ix_leg_attempt_id"), "leg", ["attempt_id"], unique=False)


def downgrade() -> None:
    """Take the tables back."""
    op.drop_index(op.f("ix_leg_attempt_id"), table_name="leg")
    op.drop_table("leg")
    op.drop_index("ix_contact_person_id_at_utc", table_name="contact")
    op.drop_index(op.f("ix_contact_attempt_id"), table_name="contact")
    op.drop_index("ix_contact_address_at_utc", table_name="contact")
    op.drop_index("ix_contact_account_id_at_utc", table_name="contact")
    op.drop_table("contact")
    op.drop_index(
        "uq_agent_interval_open",
        table_name="agent_interval",
        sqlite_where=sa.text("to_utc IS NULL"),
        postgresql_where=sa.text("to_utc IS NULL"),
    )
    op.drop_index(op.f("ix_agent_interval_session_id"), table_name="agent_interval")
    op.drop_index("ix_agent_interval_agent_id_from_utc", table_name="agent_interval")
    op.drop_table("agent_interval")
    op.drop_index(
        "uq_attempt_live_person",
        table_name="attempt",
        sqlite_where=sa.text("live"),
        postgresql_where=sa.text("live"),
    )
    op.drop_index(
        "uq_attempt_live_number",
        table_name="attempt",
        sqlite_where=sa.text("live"),
        postgresql_where=sa.text("live"),
    )
    op.drop_index("ix_attempt_lead_id", table_name="attempt")
    op.drop_index("ix_attempt_campaign_id_committed_at_utc", table_name="attempt")
    op.drop_index(op.f("ix_attempt_call_id"), table_name="attempt")
    op.drop_table("attempt")
    op.drop_index("uq_lead_campaign_id_account_id", table_name="lead")
    op.drop_index(op.f("ix_lead_person_id"), table_name="lead")
    op.drop_index("ix_lead_hopper", table_name="lead")
    op.drop_table("lead")
    op.drop_index("uq_phone_person_id_e164", table_name="phone")
    op.drop_index(op.f("ix_phone_e164"), table_name="phone")
    op.drop_table("phone")
    op.drop_index("uq_account_portfolio_external_id", table_name="account")
    op.drop_index(op.f("ix_account_person_id"), table_name="account")
    op.drop_table("account")
    op.drop_index("ix_restriction_scope_scope_value", table_name="restriction")
    op.drop_table("restriction")
    op.drop_table("person")
    op.drop_index(op.f("ix_import_run_file_sha256"), table_name="import_run")
    op.drop_table("import_run")
    op.drop_index("ix_event_name_at_utc", table_name="event")
    op.drop_index("ix_event_attempt_id", table_name="event")
    op.drop_table("event")
    op.drop_table("campaign")
    op.drop_table("agent")
