// Settings: what only its pages need.
