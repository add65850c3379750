"""What is owed, agreed and paid, and what that does to the leads of an account."""
