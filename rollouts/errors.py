"""Errors by whose fault they are and what happens next. Adapters translate their libraries' errors to these."""


class CanaryError(Exception):
    """The family: whatever Flex Canary raises on purpose."""


class PolicyError(CanaryError):
    """The author of the YAML must mend something: `problems` holds (path, value, advice) lines, all of them."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Refused(CanaryError):
    """A person or pipeline asked for something that cannot be now; the message says why and what to do."""


class NotFound(CanaryError):
    """What was named is not there."""


class Conflict(CanaryError):
    """Somebody else wrote first: stop, read again at the next tick."""


class Unavailable(CanaryError):
    """The other side does not answer, or says no for now: freeze, never fail.

    `retry_at` is epoch seconds from its Retry-After, None when it named none.
    """

    def __init__(self, message: str, *, retry_at: float | None = None) -> None:
        super().__init__(message)
        self.retry_at = retry_at


class Misconfigured(CanaryError):
    """Something in Azure or in the settings must be mended by a person: a 403, a pool without the member.

    The message names the exact role, setting or field. Asking again changes nothing until then.
    """


class Forbidden(Misconfigured):
    """A 403: the identity lacks a right, which the message names."""


class InvariantBroken(CanaryError):
    """Our own bug: freeze this rollout, leave the weights, say so. An exception: `assert` vanishes under -O."""
