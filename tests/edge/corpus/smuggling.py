"""Requests and answers that two parsers might read in two ways.

Each from a client holds, somewhere, a request for /smuggled that is none; each from a shop an answer EVIL that is
none. `statuses` are those that may be answered first; 0 is a connection closed without an answer. Whatever is let
through has `reaches` requests in it, whoever reads them.
"""

from dataclasses import dataclass

from tests.edge.corpus.exchange import CHUNKED, get

S = b"GET /smuggled HTTP/1.1\r\nhost: shop.example\r\n\r\n"
LEN = b"content-length: %d\r\n" % len(S)
EVIL = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nEVIL"
HOST = b"host: shop.example\r\n"
POST = b"POST /a HTTP/1.1\r\n" + HOST


@dataclass(frozen=True)
class Attack:
    """`closes`: the shop closes after it (of a client: means nothing)."""

    name: str
    raw: bytes
    statuses: tuple[int, ...] = (400,)
    reaches: int = 0
    closes: bool = False


def posted(fields: bytes, body: bytes = b"0\r\n\r\n" + S) -> bytes:
    return POST + fields + b"\r\n" + body


def chunked(body: bytes) -> bytes:
    return posted(CHUNKED + b"\r\n", body)


PASSES = (200,)
LENGTHS = [
    Attack("two lengths", posted(b"content-length: 0\r\n" + LEN, S)),
    Attack("two lengths, the other way", posted(LEN + b"content-length: 0\r\n", S)),
    Attack("two equal lengths", posted(LEN + LEN, S)),
    Attack("two lengths apart, in capitals", posted(LEN + b"x: y\r\nCONTENT-LENGTH: 0\r\n", S)),
    Attack("a list of lengths", posted(b"content-length: 0, 46\r\n", S)),
    Attack("a list of equal lengths", posted(b"content-length: 3, 3\r\n", b"abc" + S)),
    Attack("a length with a plus", posted(b"content-length: +3\r\n", b"abc" + S)),
    Attack("a length below zero", posted(b"content-length: -1\r\n", S)),
    Attack("a length in hexadecimals", posted(b"content-length: 0x10\r\n", S)),
    Attack("a length with a letter", posted(b"content-length: 3a\r\n", b"abc" + S)),
    Attack("a length with a blank within", posted(b"content-length: 1 0\r\n", b"a" + S)),
    Attack("a length with an underscore", posted(b"content-length: 1_0\r\n", b"a" + S)),
    Attack("a length with a fraction", posted(b"content-length: 3.0\r\n", b"abc" + S)),
    Attack("a length with a parameter", posted(b"content-length: 3;x\r\n", b"abc" + S)),
    Attack("a length in quotes", posted(b'content-length: "3"\r\n', b"abc" + S)),
    Attack("an empty length", posted(b"content-length:\r\n", S)),
    Attack("a length of 2**64 + 3", posted(b"content-length: 18446744073709551619\r\n", b"abc" + S)),
    Attack("a length of 400 digits", posted(b"content-length: " + b"9" * 400 + b"\r\n", S)),
    Attack("a length of 400 zeros and two digits", posted(b"content-length: " + b"0" * 400 + b"46\r\n", S)),
    Attack("a length in other digits", posted(b"content-length: \xd9\xa3\r\n", b"abc" + S)),
    Attack("a length with zeros", posted(b"content-length: 0000000046\r\n", S), PASSES, 1),
    Attack("a length with blanks around", posted(b"content-length: \t 46 \t\r\n", S), PASSES, 1),
    Attack("a length in another spelling", posted(b"content_length: 0\r\n" + LEN, S), PASSES, 1),
    Attack("only a length in another spelling", posted(b"content_length: 46\r\n", b""), PASSES, 1),
    Attack("a length named by Connection", posted(b"connection: content-length\r\n" + LEN, S), PASSES, 1),
    Attack("a length of a GET", b"GET / HTTP/1.1\r\n" + HOST + LEN + b"\r\n" + S, PASSES, 1),
    Attack("a length of a HEAD", b"HEAD / HTTP/1.1\r\n" + HOST + LEN + b"\r\n" + S, PASSES, 1),
    Attack("a length of a DELETE", b"DELETE / HTTP/1.1\r\n" + HOST + LEN + b"\r\n" + S, PASSES, 1),
    Attack("a length of an OPTIONS", b"OPTIONS * HTTP/1.1\r\n" + HOST + LEN + b"\r\n" + S, PASSES, 1),
]

CODINGS = [
    Attack("a length, then chunked", posted(LEN + CHUNKED + b"\r\n")),
    Attack("chunked, then a length", posted(CHUNKED + b"\r\n" + LEN)),
    Attack("chunked and a length of nothing", posted(CHUNKED + b"\r\ncontent-length: 0\r\n")),
    Attack("chunked twice", posted((CHUNKED + b"\r\n") * 2)),
    Attack("chunked and identity", posted(CHUNKED + b"\r\ntransfer-encoding: identity\r\n"), (400, 501)),
    Attack("identity and chunked", posted(b"transfer-encoding: identity\r\n" + CHUNKED + b"\r\n"), (400, 501)),
    Attack("chunked twice in a list", posted(b"transfer-encoding: chunked, chunked\r\n"), (400, 501)),
    Attack("chunked not last", posted(b"transfer-encoding: chunked, identity\r\n")),
    Attack("identity", posted(b"transfer-encoding: identity\r\n", S), (400, 501)),
    Attack("gzip, chunked", posted(b"transfer-encoding: gzip, chunked\r\n"), (501,)),
    Attack("nearly chunked", posted(b"transfer-encoding: xchunked\r\n"), (400, 501)),
    Attack("chunked in quotes", posted(b'transfer-encoding: "chunked"\r\n'), (400, 501)),
    Attack("chunked with a parameter", posted(b"transfer-encoding: chunked;q=1\r\n"), (400, 501)),
    Attack("chunked with a blank within", posted(b"transfer-encoding: chun ked\r\n"), (400, 501)),
    Attack("chunked behind a comma", posted(b"transfer-encoding: ,chunked\r\n"), (400, 501)),
    Attack("chunked before a comma", posted(b"transfer-encoding: chunked,\r\n"), (400, 501)),
    Attack("chunked with a vertical tab", posted(b"transfer-encoding: \x0bchunked\r\n"), (400, 501)),
    Attack("chunked with a NUL", posted(b"transfer-encoding: chunked\x00\r\n")),
    Attack("chunked with obs-text", posted(b"transfer-encoding: chunked\xa0\r\n"), (400, 501)),
    Attack("an empty coding", posted(b"transfer-encoding:\r\n")),
    Attack("chunked, empty and a length", posted(b"transfer-encoding:\r\n" + LEN, S)),
    Attack("a blank before the colon", posted(b"transfer-encoding : chunked\r\n" + LEN, S)),
    Attack("a tab before the colon", posted(b"transfer-encoding\t: chunked\r\n" + LEN, S)),
    Attack("a blank before the name", posted(b" transfer-encoding: chunked\r\n" + LEN, S)),
    Attack("a blank before the name, further down", posted(b"x: y\r\n transfer-encoding: chunked\r\n" + LEN, S)),
    Attack("a NUL in the name", posted(b"transfer-encoding\x00: chunked\r\n" + LEN, S)),
    Attack("a vertical tab before the name", posted(b"\x0btransfer-encoding: chunked\r\n" + LEN, S)),
    Attack("no colon", posted(b"transfer-encoding chunked\r\n" + LEN, S)),
    Attack("chunked under HTTP/1.0", b"POST /a HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n\r\n0\r\n\r\n" + S),
    Attack("chunked in another spelling", posted(b"transfer_encoding: chunked\r\n" + LEN, S), PASSES, 1),
    Attack("chunked with another sign", posted(b"transfer.encoding: chunked\r\n" + LEN, S), PASSES, 1),
    Attack("chunked named by Connection", posted(b"connection: transfer-encoding\r\n" + CHUNKED + b"\r\n",
        b"0\r\n\r\n"), PASSES, 1),
    Attack("a coding announced by TE", posted(b"te: chunked\r\n" + LEN, S), PASSES, 1),
    Attack("chunked in capitals",
        posted(b"TRANSFER-ENCODING: CHUNKED\r\n", b"2e\r\n" + S + b"\r\n0\r\n\r\n"), PASSES, 1),
]  # fmt: skip

LINES = [
    Attack("only LF", b"GET / HTTP/1.1\nhost: shop.example\n\n" + S),
    Attack("LF after the request line", b"GET / HTTP/1.1\n" + HOST + b"\r\n" + S),
    Attack("LF in the header", posted(b"x: y\n" + CHUNKED + b"\r\n")),
    Attack("LF within a value", posted(LEN + b"x: y\ntransfer-encoding: chunked\r\n", S)),
    Attack("CR within a value", posted(LEN + b"x: y\rtransfer-encoding: chunked\r\n", S)),
    Attack("CR alone between fields", posted(b"x: y\r" + LEN, S)),
    Attack("two CRs", posted(b"x: y\r\r\n" + LEN, S)),
    Attack("LF, CR", posted(b"x: y\n\r" + LEN, S)),
    Attack("LF at the end", POST + LEN + b"\n" + S),
    Attack("CR at the end", POST + LEN + b"\r" + S),
    Attack("a folded length", posted(b"content-length:\r\n 46\r\n", S)),
    Attack("a folded coding", posted(b"transfer-encoding:\r\n chunked\r\n" + LEN, S)),
    Attack("a folded value", posted(b"x: y\r\n z\r\n" + LEN, S)),
    Attack("a fold with nothing", posted(b"x: y\r\n \r\n" + LEN, S)),
    Attack("a fold before any field", b"GET / HTTP/1.1\r\n " + HOST + b"\r\n" + S),
    Attack("NUL in a value", posted(b"x: \x00\r\n" + LEN, S)),
    Attack("a control byte in a value", posted(b"x: \x08\r\n" + LEN, S)),
    Attack("DEL in a value", posted(b"x: \x7f\r\n" + LEN, S)),
    Attack("an empty name", posted(b": y\r\n" + LEN, S)),
    Attack("a name in brackets", posted(b"x(y): z\r\n" + LEN, S)),
    Attack("a name outside ASCII", posted(b"content-length\xc2\xa0: 0\r\n" + LEN, S)),
    Attack("a request for a name", b"GET / HTTP/1.1\r\n" + HOST + S),
    Attack("no Host", b"GET / HTTP/1.1\r\n\r\n" + S),
    Attack("two Hosts", b"GET / HTTP/1.1\r\n" + HOST + b"host: other\r\n\r\n" + S),
    Attack("a Host with a blank", b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n" + S),
    Attack("a Host with a comma", b"GET / HTTP/1.1\r\nhost: a, b\r\n\r\n" + S),
    Attack("a Host with a path", b"GET / HTTP/1.1\r\nhost: a/b\r\n\r\n" + S),
    Attack("a Host with a user", b"GET / HTTP/1.1\r\nhost: a@b\r\n\r\n" + S),
    Attack("a Host outside ASCII", b"GET / HTTP/1.1\r\nhost: \xffa\r\n\r\n" + S),
    Attack("a tab in the request line", b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n" + S),
    Attack("a CR in the target", b"GET /\rx HTTP/1.1\r\n" + HOST + b"\r\n" + S),
    Attack("a blank in the target", b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n" + S),
    Attack("a NUL in the target", b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n" + S),
    Attack("two versions", b"GET / HTTP/1.1 HTTP/1.1\r\n" + HOST + b"\r\n" + S),
    Attack("a request behind the version", b"GET / HTTP/1.1 GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"),
    Attack("no version", b"GET /\r\n" + HOST + b"\r\n" + S, (400, 505)),
    Attack("a version of two digits", b"GET / HTTP/1.10\r\n" + HOST + b"\r\n" + S),
    Attack("a version in small letters", b"GET / http/1.1\r\n" + HOST + b"\r\n" + S),
    Attack("a version with a comma", b"GET / HTTP/1,1\r\n" + HOST + b"\r\n" + S),
    Attack("a blank before the method", b" GET / HTTP/1.1\r\n" + HOST + b"\r\n" + S),
    Attack("no blank after the method", b"GET/ HTTP/1.1\r\n" + HOST + b"\r\n" + S),
    Attack("a target without a slash", b"GET smuggled HTTP/1.1\r\n" + HOST + b"\r\n", (400, 200), 1),
    Attack("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + S, (400, 405, 505)),
    Attack("a head of 70,000 bytes", b"GET / HTTP/1.1\r\n" + HOST + b"x: " + b"y" * 70_000 + b"\r\n\r\n" + S, (431,)),
    Attack("a target of 70,000 bytes", b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n" + S, (431,)),
    Attack("20,000 fields", b"GET / HTTP/1.1\r\n" + HOST + b"x: y\r\n" * 20_000 + b"\r\n" + S, (431,)),
    Attack("a head without an end", b"GET / HTTP/1.1\r\n" + HOST + b"x: y\r\n" * 20_000, (431,)),
    Attack("a name without an end", b"GET / HTTP/1.1\r\n" + HOST + b"x" * 70_000, (431, 400)),
    Attack("empty lines without an end", b"\r\n" * 40_000, (431, 400)),
]  # fmt: skip

CHUNKS = [
    Attack(f"a chunk's size: {size!r}", chunked(size + b"\r\nabc\r\n0\r\n\r\n" + S))
    for size in (
        b"-3", b"+3", b"0x3", b" 3", b"3 ", b"3\t", b"_3", b"3_0", b"3.0", b"", b"g", b"3,", b"\xb3", b"3\x00",
        b"3\n", b"3\r", b"3 ;a", b"f" * 17, b"10000000000000003",
    )
] + [
    Attack("LF after a chunk's size", chunked(b"3\nabc\r\n0\r\n\r\n" + S)),
    Attack("LF in a chunk's extension", chunked(b"3;a=\nb\r\nabc\r\n0\r\n\r\n" + S)),
    Attack("CR in a chunk's extension", chunked(b"3;a=\rb\r\nabc\r\n0\r\n\r\n" + S)),
    Attack("NUL in a chunk's extension", chunked(b"3;a=\x00b\r\nabc\r\n0\r\n\r\n" + S)),
    Attack("a line break in quotes", chunked(b'3;a="\r\n"\r\nabc\r\n0\r\n\r\n' + S)),
    Attack("an extension without an end", chunked(b"3;" + b"x" * 600_000)),
    Attack("a chunk longer than it says", chunked(b"3\r\nabcdef\r\n0\r\n\r\n" + S)),
    Attack("a chunk without its line break", chunked(b"3\r\nabc0\r\n\r\n" + S)),
    Attack("LF after a chunk", chunked(b"3\r\nabc\n0\r\n\r\n" + S)),
    Attack("LF after the last chunk", chunked(b"0\n\r\n" + S)),
    Attack("LF at the end", chunked(b"0\r\n\n" + S)),
    Attack("CR at the end", chunked(b"0\r\n\r" + S)),
    Attack("a request for a trailer", chunked(b"0\r\n" + S)),
    Attack("a folded trailer", chunked(b"0\r\nx: y\r\n z\r\n\r\n")),
    Attack("a trailer with LF", chunked(b"0\r\nx: y\n\r\n")),
    Attack("a trailer without an end", chunked(b"0\r\n" + b"x: y\r\n" * 100_000)),
    Attack("a chunk that never ends", chunked(b"ffffffffffffffff\r\n" + S), (0,), 0),
    Attack("a last chunk of many zeros", chunked(b"0000\r\n\r\n"), PASSES, 1),
    Attack("a request in a chunk", chunked(b"2e\r\n" + S + b"\r\n0\r\n\r\n"), PASSES, 1),
    Attack("70,000 zeros before a chunk's size", chunked(b"0" * 70_000 + b"3\r\nabc\r\n0\r\n\r\n"), (200, 400), 1),
    Attack("a trailer Content-Length", chunked(b"3\r\nabc\r\n0\r\ncontent-length: 50\r\n\r\n")),
    Attack("a trailer Transfer-Encoding", chunked(b"3\r\nabc\r\n0\r\ntransfer-encoding: chunked\r\n\r\n")),
    Attack("a trailer Connection", chunked(b"3\r\nabc\r\n0\r\nconnection: close\r\n\r\n"), PASSES, 1),
    Attack("a trailer Set-Cookie", chunked(b"3\r\nabc\r\n0\r\nset-cookie: a=b\r\n\r\n"), PASSES, 1),
    Attack("a trailer Host", chunked(b"3\r\nabc\r\n0\r\nhost: evil\r\n\r\n"), PASSES, 1),
    Attack("a trailer Waitroom-Place", chunked(b"0\r\nwaitroom-place: 1\r\nx-forwarded-for: 1\r\n\r\n"), PASSES, 1),
]  # fmt: skip

UPGRADE = (b"connection: upgrade", b"upgrade: websocket")
OTHERS = [
    Attack("a request behind an upgrade", get(b"/", *UPGRADE) + S, PASSES, 1),
    Attack("a request behind a switch to h2c", get(b"/", b"connection: upgrade", b"upgrade: h2c") + S, PASSES, 1),
    Attack("a request in an upgrade's body", posted(b"\r\n".join((*UPGRADE, LEN)), S), PASSES, 1),
    Attack("a request in a body not asked for", posted(b"expect: 100-continue\r\n" + LEN, S), (100,), 1),
    Attack("a request after close", get(b"/", b"connection: close") + S, PASSES, 1),
    Attack("a request after HTTP/1.0", b"GET / HTTP/1.0\r\n" + HOST + b"\r\n" + S, PASSES, 1),
    Attack("CONNECT", b"CONNECT shop.example:80 HTTP/1.1\r\n" + HOST + b"\r\n" + S, (405,)),
]

FROM_CLIENT = [*LENGTHS, *CODINGS, *LINES, *CHUNKS, *OTHERS]


def said(fields: bytes, body: bytes = b"", line: bytes = b"HTTP/1.1 200 OK\r\n") -> bytes:
    return line + fields + b"\r\n" + body


C = CHUNKED + b"\r\n"
FROM_SHOP = [
    Attack("two lengths", said(b"content-length: 2\r\ncontent-length: 42\r\n", b"ok" + EVIL), (502,)),
    Attack("two equal lengths", said(b"content-length: 2\r\ncontent-length: 2\r\n", b"ok" + EVIL), (502,)),
    Attack("a list of lengths", said(b"content-length: 2, 2\r\n", b"ok" + EVIL), (502,)),
    Attack("a signed length", said(b"content-length: +2\r\n", b"ok" + EVIL), (502,)),
    Attack("a length below zero", said(b"content-length: -2\r\n", b"ok" + EVIL), (502,)),
    Attack("a length in hexadecimals", said(b"content-length: 0x2\r\n", b"ok" + EVIL), (502,)),
    Attack("an empty length", said(b"content-length:\r\n", b"ok" + EVIL), (502,)),
    Attack("a huge length", said(b"content-length: 99999999999999999999\r\n", b"ok"), (502,)),
    Attack("a length of 400 zeros and a digit", said(b"content-length: " + b"0" * 400 + b"2\r\n", b"ok"), (502,)),
    Attack("chunked and a length", said(C + b"content-length: 5\r\n", b"0\r\n\r\n" + EVIL), (502,)),
    Attack("a length and chunked", said(b"content-length: 5\r\n" + C, b"0\r\n\r\n" + EVIL), (502,)),
    Attack("chunked twice", said(C + C, b"0\r\n\r\n" + EVIL), (502,)),
    Attack("chunked, chunked", said(b"transfer-encoding: chunked, chunked\r\n", b"0\r\n\r\n" + EVIL), (502,)),
    Attack("gzip, chunked", said(b"transfer-encoding: gzip, chunked\r\n", b"0\r\n\r\n" + EVIL), (502,)),
    Attack("chunked, gzip", said(b"transfer-encoding: chunked, gzip\r\n", b"0\r\n\r\n" + EVIL), (502,)),
    Attack("identity", said(b"transfer-encoding: identity\r\n", b"ok" + EVIL), (502,), closes=True),
    Attack("nearly chunked", said(b"transfer-encoding: xchunked\r\n", b"0\r\n\r\n" + EVIL), (502,), closes=True),
    Attack("an empty coding", said(b"transfer-encoding:\r\n", b"0\r\n\r\n" + EVIL), (502,), closes=True),
    Attack("a folded length", said(b"content-length:\r\n 2\r\n", b"ok" + EVIL), (502,)),
    Attack("a folded value", said(b"x: a\r\n b\r\ncontent-length: 2\r\n", b"ok"), (502,)),
    Attack("a folded cookie", said(b"set-cookie: a=b;\r\n path=/\r\ncontent-length: 2\r\n", b"ok"), (502,)),
    Attack("only LF", b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok", (502,)),
    Attack("LF in the header", said(b"x: a\ncontent-length: 2\r\n", b"ok" + EVIL), (502,)),
    Attack("CR in a value", said(b"x: a\rcontent-length: 42\r\ncontent-length: 2\r\n", b"ok" + EVIL), (502,)),
    Attack("two CRs", said(b"x: a\r\r\ncontent-length: 2\r\n", b"ok" + EVIL), (502,)),
    Attack("LF at the end", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\nok", (502,)),
    Attack("a blank before the colon", said(b"content-length : 42\r\ncontent-length: 2\r\n", b"ok" + EVIL), (502,)),
    Attack("a blank before the name", said(b" content-length: 42\r\ncontent-length: 2\r\n", b"ok" + EVIL), (502,)),
    Attack("NUL in a value", said(b"x: a\x00b\r\ncontent-length: 2\r\n", b"ok"), (502,)),
    Attack("NUL in a name", said(b"x\x00: a\r\ncontent-length: 2\r\n", b"ok"), (502,)),
    Attack("a control byte in a value", said(b"x: a\x01b\r\ncontent-length: 2\r\n", b"ok"), (502,)),
    Attack("an empty name", said(b": a\r\ncontent-length: 2\r\n", b"ok"), (502,)),
    Attack("no colon", said(b"x\r\ncontent-length: 2\r\n", b"ok"), (502,)),
    Attack("a name outside ASCII", said(b"x\xe9: a\r\ncontent-length: 2\r\n", b"ok"), (502,)),
    Attack("a large head", said(b"x: " + b"y" * 70_000 + b"\r\ncontent-length: 2\r\n", b"ok"), (502,)),
    Attack("a head without an end", said(b"x: y\r\n" * 20_000), (502,)),
    Attack("a status of four digits", said(b"content-length: 2\r\n", b"ok", b"HTTP/1.1 2000 OK\r\n"), (502,)),
    Attack("a status of two digits", said(b"content-length: 2\r\n", b"ok", b"HTTP/1.1 20 OK\r\n"), (502,)),
    Attack("another version", said(b"content-length: 2\r\n", b"ok", b"HTTP/3.0 200 OK\r\n"), (502,)),
    Attack("an answer before any", b"\r\nok" + EVIL, (502,)),
    Attack("a switch nobody asked for",
        said(b"connection: upgrade\r\nupgrade: x\r\n", EVIL, b"HTTP/1.1 101 S\r\n"), (502,)),
    Attack("a second answer behind", said(b"content-length: 2\r\n", b"ok" + EVIL), PASSES),
    Attack("a second answer behind chunks", said(C, b"2\r\nok\r\n0\r\n\r\n" + EVIL), PASSES),
    Attack("a second answer behind a 204", said(b"", EVIL, b"HTTP/1.1 204 No Content\r\n"), (204,)),
    Attack("a second answer behind a 304", said(b"content-length: 5\r\n", EVIL, b"HTTP/1.1 304 N\r\n"), (304,)),
    Attack("a body in a 204", said(b"content-length: 42\r\n", EVIL, b"HTTP/1.1 204 No Content\r\n"), (204,)),
    Attack("a length in another spelling", said(b"content_length: 42\r\ncontent-length: 2\r\n", b"ok" + EVIL), PASSES),
    Attack("a coding in another spelling", said(b"transfer_encoding: chunked\r\ncontent-length: 2\r\n", b"ok"), PASSES),
    Attack("a line break in the reason", said(b"content-length: 2\r\n", b"ok", b"HTTP/1.1 200 a\rb: c\r\n"), (502,)),
    Attack("no reason and no blank", said(b"content-length: 2\r\n", b"ok", b"HTTP/1.1 200\r\n"), PASSES),
    Attack("trailers", said(C, b"2\r\nok\r\n0\r\nset-cookie: a=b\r\nx: 9\r\n\r\n"), PASSES),
    Attack("a trailer Content-Length", said(C, b"2\r\nok\r\n0\r\ncontent-length: 9\r\n\r\n"), (0, 502)),
    Attack("an answer for a trailer", said(C, b"2\r\nok\r\n0\r\n" + EVIL), (0, 502)),
    *(Attack(f"a chunk's size: {size!r}", said(C, size + b"\r\nok\r\n0\r\n\r\n" + EVIL), (0, 502)) for size in (
        b"-2", b"+2", b"0x2", b" 2", b"2 ", b"_2", b"", b"g", b"2\n", b"f" * 17, b"2;a\nb", b"2;\x00")),
    Attack("a chunk longer than it says", said(C, b"2\r\nokay\r\n0\r\n\r\n" + EVIL), (0, 200, 502)),
    Attack("LF after a chunk", said(C, b"2\r\nok\n0\r\n\r\n" + EVIL), (0, 200, 502)),
    Attack("cut within a chunk", said(C, b"5\r\nok"), (0, 200, 502), closes=True),
    Attack("cut within the body", said(b"content-length: 20\r\n", b"ok"), (0, 200, 502), closes=True),
    Attack("cut within the head", b"HTTP/1.1 200 OK\r\ncontent-le", (502,), closes=True),
]  # fmt: skip
