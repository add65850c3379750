"""The only place that knows SQLAlchemy: models, migrations, the journal, and one owner module per table."""
