// Overview: what only its pages need.
