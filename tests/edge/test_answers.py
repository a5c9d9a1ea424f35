"""The header fields of an answer as they are sent: each is one line."""

import pytest

from waitroom.edge.answers import lines_of
from waitroom.edge.wire.exchange import refuse_splits


def test_fields_are_sent_in_their_order_and_unchanged() -> None:
    lines = lines_of([(b"retry-after", b"3"), (b"set-cookie", b"a=\xff; Path=/")])

    assert lines == b"retry-after: 3\r\nset-cookie: a=\xff; Path=/\r\n"
    refuse_splits(lines, 2)


@pytest.mark.parametrize("byte", [b"\r", b"\n", b"\0"])
def test_a_field_that_would_split_the_answer_is_refused(byte: bytes) -> None:
    with pytest.raises(ValueError, match="line break"):
        lines_of([(b"set-cookie", b"a=b" + byte + b"c: d")])

    with pytest.raises(RuntimeError, match="line break"):
        refuse_splits(b"set-cookie: a=b" + byte + b"c: d\r\n", 1)
