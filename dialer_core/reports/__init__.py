"""What a day, a campaign or an agent came to: figures over attempts, promises and payments, and call detail records."""
