// Add connector: what only its pages need.
