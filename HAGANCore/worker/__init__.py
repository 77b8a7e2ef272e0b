"""The process that does the work for a GUI: protocol, server, client. The protocol: ``README.md`` here."""
