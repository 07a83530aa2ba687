"""Kianda's custom connector contract: today's platform calls the relay as a microservice."""
