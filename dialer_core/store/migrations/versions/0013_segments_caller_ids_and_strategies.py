"""Segments of leads, the caller ID kept per person, and the strategy clock."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

IN_A_SEGMENT = sa.text("segment IS NOT NULL")
RUNNING = sa.text("state = 'running'")


def upgrade() -> None:
    """Take the tables forward."""
    op.add_column("lead", sa.Column("segment", sa.String(length=64), nullable=True))
    op.create_index(
        "ix_lead_segment",
        "lead",
        ["campaign_id", "segment", "state", "next_at_utc", sa.text("priority DESC"), "attempts", "id"],
        sqlite_where=IN_A_SEGMENT,
        postgresql_where=IN_A_SEGMENT,
    )
    op.add_column("attempt", sa.Column("segment", sa.String(length=64), nullable=True))
    op.add_column("attempt", sa.Column("caller_id", sa.String(length=20), nullable=True))
    op.create_table(
        "kept_caller_id",
        sa.Column("person_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("pool", sa.String(length=64), nullable=False),
        sa.Column("number", sa.String(length=20), nullable=False),
        sa.Column("since_utc", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_kept_caller_id_person_id_person")
        ),
        sa.PrimaryKeyConstraint("person_id", "pool", name=op.f("pk_kept_caller_id")),
    )
    op.create_table(
        "strategy_run",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("account_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("person_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("campaign_id", sa.String(length=64), nullable=True),
        sa.Column("strategy", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("steps", sa.JSON(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("due_at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leased_by", sa.String(length=64), nullable=True),
        sa.Column("leased_until_utc", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("stopped_because", sa.String(length=32), nullable=True),
        sa.Column("started_at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_strategy_run_account_id_account")
        ),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_strategy_run_person_id_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_strategy_run")),
    )
    op.create_index(
        "ix_strategy_run_due_at_utc",
        "strategy_run",
        ["due_at_utc"],
        sqlite_where=RUNNING,
        postgresql_where=RUNNING,
    )
    op.create_index(
        "ix_strategy_run_person_id",
        "strategy_run",
        ["person_id"],
        sqlite_where=RUNNING,
        postgresql_where=RUNNING,
    )
    op.create_index(
        "uq_strategy_run_running", "strategy_run", ["account_id", "strategy"], unique=True,
        sqlite_where=RUNNING, postgresql_where=RUNNING,
    )  # fmt: skip


def downgrade() -> None:
    """Take the tables back."""
    op.drop_table("strategy_run")
    op.drop_table("kept_caller_id")
    op.drop_column("attempt", "caller_id")
    op.drop_column("attempt", "segment")
    op.drop_index("ix_lead_segment", table_name="lead")
    op.drop_column("lead", "segment")
