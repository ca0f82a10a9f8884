"""Tokens, scopes, and the one question: may this token do that?"""
