// Audit: what only its pages need.
