"""What both stores refuse, because Azure Tables would: keys, bodies and transactions beyond its limits.

Checked before anything is sent. A breach is our own bug (InvariantBroken): whoever makes keys and bodies
must keep within the contract's numbers, and refuse what people send before it gets here.
"""

from collections.abc import Sequence

from rollouts.errors import InvariantBroken
from storing.contract import (
    ANY,
    FORBIDDEN_IN_KEYS,
    MAX_BODY_BYTES,
    MAX_KEY_CHARACTERS,
    MAX_TRANSACTION_BYTES,
    MAX_WRITES,
    Delete,
    Put,
)

# Each write of a transaction carries its own HTTP headers, keys and property names beside the body.
WRITE_OVERHEAD_BYTES = 2048


def check_key(key: str, what: str = "key") -> None:
    """Printable ASCII without `/ \\ # ? %`, 1 to 512 characters: so both stores sort keys alike.

    >>> check_key("rollout-79738875T946971-ab12")
    """
    if not 1 <= len(key) <= MAX_KEY_CHARACTERS:
        raise InvariantBroken(f"{what} has {len(key)} characters, the store takes 1 to {MAX_KEY_CHARACTERS}")
    bad = sorted({one for one in key if one in FORBIDDEN_IN_KEYS or not " " <= one <= "~"})
    if bad:
        raise InvariantBroken(f"{what} {key!r} holds {bad}, which Azure Tables cannot keep in a key")


def check_commit(partition: str, writes: Sequence[Put | Delete]) -> None:
    """All limits of one transaction; InvariantBroken names the key and both numbers."""
    check_key(partition, "partition")
    if len(writes) > MAX_WRITES:
        raise InvariantBroken(f"a transaction of {len(writes)} writes, the store takes {MAX_WRITES}")
    seen: set[str] = set()
    total = 0
    for write in writes:
        check_key(write.key)
        if write.key in seen:
            raise InvariantBroken(f"key {write.key!r} twice in one transaction, the store takes each once")
        seen.add(write.key)
        if write.etag == "":
            raise InvariantBroken(f"key {write.key!r} with an empty ETag: give None, the ETag as read, or {ANY!r}")
        total += WRITE_OVERHEAD_BYTES
        if isinstance(write, Put):
            if len(write.body) > MAX_BODY_BYTES:
                raise InvariantBroken(
                    f"the body of {write.key!r} has {len(write.body)} bytes, the store takes {MAX_BODY_BYTES}"
                )
            total += wire_bytes(len(write.body))
    if total > MAX_TRANSACTION_BYTES:
        raise InvariantBroken(f"a transaction of {total} bytes as sent, the store takes {MAX_TRANSACTION_BYTES}")


def wire_bytes(body_bytes: int) -> int:
    """Bytes of a body as it is sent: base64, four characters for three bytes.

    >>> wire_bytes(3), wire_bytes(4)
    (4, 8)
    """
    return -(-body_bytes // 3) * 4


def end_of(prefix: str) -> str | None:
    """The smallest key after every key that starts with `prefix`; None = there is no end.

    >>> end_of("out-"), end_of("a~")
    ('out.', 'b')
    """
    start = prefix.rstrip("~")
    return start[:-1] + chr(ord(start[-1]) + 1) if start else None
