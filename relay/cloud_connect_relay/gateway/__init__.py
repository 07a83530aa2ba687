"""Where agents arrive: the tunnel's listener, who they are, and their live sessions."""
