"""What both ends of Cloud Connect share: tunnel protocol, sessions, errors, queries."""
