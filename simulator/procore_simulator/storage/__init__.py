"""The storage origin: where files are sent to and fetched from, by signed addresses only."""
