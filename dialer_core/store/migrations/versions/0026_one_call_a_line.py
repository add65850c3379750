"""One live call at a time to a line, by whichever of its two numbers: a mobile of Argentina is written with a 9 and without."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_LIVE = sa.text("live")
_LINE = """
    UPDATE attempt SET line =
    CASE WHEN substr(number, 1, 4) = '+549' AND length(number) = 14 THEN '+54' || substr(number, 5) ELSE number END
    WHERE live
"""


def upgrade() -> None:
    """Take the tables forward."""
    op.add_column("attempt", sa.Column("line", sa.String(length=20), nullable=True))
    op.execute(sa.text(_LINE))
    _index("line")


def downgrade() -> None:
    """Take the tables back."""
    _index("number")
    op.drop_column("attempt", "line")


def _index(of: str) -> None:
    op.drop_index("uq_attempt_live_number", table_name="attempt")
    op.create_index(
        "uq_attempt_live_number", "attempt", [of], unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE
    )
