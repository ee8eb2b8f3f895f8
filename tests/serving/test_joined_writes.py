"""The head of a response and the first part of its body are one write; a head without a body is not held back."""

import asyncio

from corea.serving.joined_writes import JoinedWrites

HEAD, BODY = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", b"{}"


class Written:
    """A transport that keeps what is written."""

    def __init__(self):
        self.parts: list[bytes] = []
        self.closed_after: int | None = None

    def write(self, data: bytes) -> None:
        self.parts.append(data)

    def close(self) -> None:
        self.closed_after = len(self.parts)

    def is_closing(self) -> bool:
        return self.closed_after is not None


def test_a_head_goes_with_its_body_or_alone_one_turn_later_or_before_the_end():
    async def scenario() -> None:
        written = Written()
        joined = JoinedWrites(written)
        joined.write(HEAD)
        assert written.parts == []
        joined.write(BODY)
        joined.write(BODY)
        assert written.parts == [HEAD + BODY, BODY]
        joined.write(HEAD)
        await asyncio.sleep(0)
        assert written.parts[2:] == [HEAD]
        joined.write(BODY)
        joined.write(HEAD)
        joined.write(b"")  # an empty body
        assert written.parts[3:] == [BODY, HEAD]
        joined.write(HEAD)
        assert not joined.is_closing()
        joined.close()
        assert (written.parts[5:], written.closed_after) == ([HEAD], 6)
        await asyncio.sleep(0)
        assert len(written.parts) == 6

    asyncio.run(scenario())
