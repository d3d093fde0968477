"""Web's own database ``office.db``: registry, accounts, followers' cursors. Web alone writes it; core reads the registry."""
