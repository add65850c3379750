"""Messages over any channel but the telephone: outbox, templates, receipts, what people answer. Plugins speak to the providers."""
