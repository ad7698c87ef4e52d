"""Attacks on qhal from outside: a man in the middle, mangled replies, requests and files, signals at any moment."""
