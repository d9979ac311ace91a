"""Exports know no network but those that they export."""

import socket

import pytest


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    def refuse(*_):
        raise OSError("tests have no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
