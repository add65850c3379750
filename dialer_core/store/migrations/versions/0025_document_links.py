"""Links to documents that messages carry."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_KEYS = {
    "message_id": "message",
    "account_id": "account",
    "person_id": "person",
    "document_id": "account_document",
}


def upgrade() -> None:
    """Take the tables forward."""
    op.create_table(
        "document_link",
        sa.Column("message_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("account_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("person_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("document_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("letter", sa.String(length=48), nullable=True),
        sa.Column("field", sa.String(length=80), nullable=False),
        sa.Column("digits", sa.Integer(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("until_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("wrong", sa.Integer(), nullable=False),
        sa.Column("opened", sa.Integer(), nullable=False),
        sa.Column("ended_because", sa.String(length=32), nullable=True),
        *(
            sa.ForeignKeyConstraint(
                [column], [f"{table}.id"], name=op.f(f"fk_document_link_{column}_{table}")
            )
            for column, table in _KEYS.items()
        ),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_document_link")),
    )


def downgrade() -> None:
    """Take the tables back."""
    op.drop_table("document_link")
