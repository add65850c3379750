"""Machine verdicts drawn for evidence: who was connected anyway, and under which share."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the tables forward."""
    op.create_table(
        "detection_sample",
        sa.Column("attempt_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("campaign_id", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=16), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("draw", sa.Double(), nullable=False),
        sa.Column("agent_free", sa.Boolean(), nullable=False),
        sa.Column("connected", sa.Boolean(), nullable=False),
        sa.Column("at_utc", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["attempt.id"], name=op.f("fk_detection_sample_attempt_id_attempt")
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name=op.f("fk_detection_sample_campaign_id_campaign")
        ),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_detection_sample")),
    )
    op.create_index(
        "ix_detection_sample_campaign_id_at_utc", "detection_sample", ["campaign_id", "at_utc"], unique=False
    )


def downgrade() -> None:
    """Take the tables back."""
    op.drop_index("ix_detection_sample_campaign_id_at_utc", table_name="detection_sample")
    op.drop_table("detection_sample")
