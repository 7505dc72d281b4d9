"""The ledger: what is true. Double entry, journal and tables; knows no ISO 8583 and no asyncio."""
