"""The relay: routes calls of a platform to the connector PCs chosen for a data source."""
