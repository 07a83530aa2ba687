"""What happens in a subscription, told to whoever listens at that moment."""
