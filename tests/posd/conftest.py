"""Conversations with a host in memory, which hears them whole, byte by byte, or with more."""

import pytest

from tests.posd.conversation import FEEDINGS, Conversation


@pytest.fixture(params=FEEDINGS)
def stranger(request):
    """A terminal that has not signed on."""
    return Conversation(request.param)


@pytest.fixture
def talk(stranger):
    """One that has."""
    stranger.sign_on()
    return stranger


@pytest.fixture
def desk():
    """One that has, and sends its requests whole: what is asked of it does not hang on bytes."""
    made = Conversation()
    made.sign_on()
    return made
