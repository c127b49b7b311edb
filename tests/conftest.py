"""What all tests share: hypothesis has no deadline, because a busy machine is no bug."""

from hypothesis import settings

settings.register_profile("shared", deadline=None)
settings.load_profile("shared")
