"""Awkward answers: fields, statuses, framings, codings, interim answers."""

from tests.edge.corpus.exchange import CHUNKED, GZIP, NONE, OK, Exchange, get, post, say, sized

BYTERANGES = b"--b\r\ncontent-range: bytes 0-0/9\r\n\r\na\r\n--b\r\ncontent-range: bytes 8-8/9\r\n\r\ni\r\n--b--\r\n"
ANSWERS = [
    Exchange("answer: order and repetition", get(b"/"), say(
        b"200 OK", b"x-b: 2", b"x-a: 1", b"x-b: 1", b"content-length: 2", b"link: <a>", b"link: <b>", body=b"ok")),
    Exchange("answer: capitals", get(b"/"), say(b"200 OK", b"Content-Type: A", b"CONTENT-LENGTH: 2", body=b"ok"),
        "names"),
    Exchange("answer: blanks", get(b"/"), say(b"200 OK", b"x:1 ", b"y:", b"content-length:  2\t", body=b"ok"),
        "blanks"),
    Exchange("answer: obs-text", get(b"/"), say(
        b"200 OK", b'content-disposition: attachment; filename="\xfc\xff.pdf"', b"location: /k\xc3\xbcche",
        NONE)),
    Exchange("answer: empty values", get(b"/"), say(b"200 OK", b"x-a: ", NONE, b"x-a: ")),
    Exchange("answer: odd names", get(b"/"), say(b"200 OK", b"x_a: 1", b"!#$%&'*+.^_`|~: 1", NONE)),
    Exchange("answer: no Date, no Server added", get(b"/"), say(b"200 OK", NONE)),
    Exchange("answer: Date and Server kept", get(b"/"), say(
        b"200 OK", b"date: Sat, 29 Oct 1994 19:43:31 GMT", b"server: a/1 (b)", NONE)),
    Exchange("answer: security fields", get(b"/"), say(
        b"200 OK", b"content-security-policy: default-src 'self'; script-src 'nonce-a'", b"x-frame-options: DENY",
        b"strict-transport-security: max-age=1; preload", b"access-control-allow-origin: *", NONE)),
    Exchange("answer: cache fields", get(b"/"), say(
        b"200 OK", b"cache-control: public, max-age=60, s-maxage=600", b"vary: accept, cookie", b'etag: W/"x"',
        b"surrogate-control: max-age=600", b"age: 5", b"expires: 0", NONE)),
    Exchange("answer: a header of 40,000 bytes", get(b"/"), say(b"200 OK", b"x: " + b"v" * 40_000, NONE)),
    Exchange("answer: 300 fields", get(b"/"), say(
        b"200 OK", *(b"x-%d: %d" % (at, at) for at in range(300)), NONE)),
    Exchange("answer: another reason", get(b"/"), say(b"200 Alles \xfcbel", NONE), "reason"),
    Exchange("answer: no reason", get(b"/"), say(b"200 ", NONE), "reason"),
    Exchange("answer: an unknown status", get(b"/"), say(b"299 Fine", NONE), "reason"),
    Exchange("answer: 599", get(b"/"), say(b"599 Odd", b"content-length: 2", body=b"ok"), "reason"),
    Exchange("answer: 600", get(b"/"), say(b"600 High", NONE), "refused", status=502),
    Exchange("answer: 999", get(b"/"), say(b"999 Denied", NONE), "refused", status=502),
    Exchange("answer: 201", post(), say(b"201 Created", b"location: //other/x", NONE)),
    Exchange("answer: 204", get(b"/"), say(b"204 No Content", b"x: 1")),
    Exchange("answer: 204 with a length", get(b"/"), say(b"204 No Content", NONE), "length"),
    Exchange("answer: 205", get(b"/"), say(b"205 Reset Content", NONE)),
    Exchange("answer: 206", get(b"/", b"range: bytes=0-0"), say(
        b"206 Partial Content", b"content-range: bytes 0-0/9", b"content-length: 1", body=b"a")),
    Exchange("answer: 206 in parts", get(b"/", b"range: bytes=0-0,-1"), say(
        b"206 Partial Content", b"content-type: multipart/byteranges; boundary=b", sized(BYTERANGES), body=BYTERANGES)),
    Exchange("answer: 302", get(b"/"), say(b"302 Found", b"location: http://shop.example//a?b#c", NONE)),
    Exchange("answer: 303 elsewhere", post(), say(b"303 See Other", b"location: https://pay.example/", NONE)),
    Exchange("answer: 304", get(b"/"), say(b"304 Not Modified", b'etag: "a"')),
    Exchange("answer: 304 with a length", get(b"/"), say(b"304 Not Modified", b"content-length: 700"), "length"),
    Exchange("answer: 304 in chunks", get(b"/"), say(b"304 Not Modified", CHUNKED), "chunks"),
    Exchange("answer: 401", get(b"/"), say(
        b"401 Unauthorized", b'www-authenticate: Basic realm="a, b"', b"www-authenticate: Negotiate", NONE)),
    Exchange("answer: 416", get(b"/"), say(
        b"416 Not That Long", b"content-range: bytes */9", NONE), "reason"),
    Exchange("answer: 426", get(b"/", b"connection: keep-alive"), say(
        b"426 Upgrade Required", b"upgrade: h2c", b"connection: upgrade", NONE), "hop"),
    Exchange("answer: 500", get(b"/"), say(b"500 Internal Server Error", b"content-length: 5", body=b"broke")),
    Exchange("answer: 503", get(b"/"), say(b"503 Service Unavailable", b"retry-after: 7", NONE)),
    Exchange("answer: all bytes", get(b"/"), say(b"200 OK", b"content-length: 256", body=bytes(range(256)))),
    Exchange("answer: gzip", get(b"/"), say(b"200 OK", b"content-encoding: gzip", sized(GZIP), body=GZIP)),
    Exchange("answer: gzip that is none", get(b"/"), say(
        b"200 OK", b"content-encoding: gzip", b"content-length: 2", body=b"ok")),
    Exchange("answer: brotli in chunks", get(b"/"), say(
        b"200 OK", b"content-encoding: br", CHUNKED, body=b"4\r\n\x0b\x00\x80a\r\n1\r\n\x03\r\n0\r\n\r\n"), "chunks"),
    Exchange("answer: 300,000 bytes", get(b"/"), say(b"200 OK", b"content-length: 300000",
        body=b"0123456789" * 30_000)),
    Exchange("answer: looks like two", get(b"/"), say(b"200 OK", sized(OK), body=OK)),
    Exchange("answer: in chunks", get(b"/"), say(b"200 OK", CHUNKED, body=b"2\r\nok\r\n0\r\n\r\n"), "chunks"),
    Exchange("answer: in no chunks", get(b"/"), say(b"200 OK", CHUNKED, body=b"0\r\n\r\n"), "chunks"),
    Exchange("answer: chunk extensions", get(b"/"), say(
        b"200 OK", CHUNKED, body=b"1;a\r\no\r\n1;b=c\r\nk\r\n0;d\r\n\r\n"), "chunks"),
    Exchange("answer: trailers", get(b"/"), say(
        b"200 OK", CHUNKED, body=b"2\r\nok\r\n0\r\nset-cookie: a=b\r\nx: 1\r\n\r\n"), "chunks trailers"),
    Exchange("answer: a large chunk", get(b"/"), say(
        b"200 OK", CHUNKED, body=b"30d40\r\n" + b"x" * 200_000 + b"\r\n0\r\n\r\n"), "chunks"),
    Exchange("answer: ended by close", get(b"/"), say(b"200 OK", b"x: 1", body=b"all of it"), "close", closes=True),
    Exchange("answer: nothing, ended by close", get(b"/"), say(b"200 OK", b"x: 1"), "close", closes=True),
    Exchange("answer: of HTTP/1.0, ended by close", get(b"/"), b"HTTP/1.0 200 OK\r\n\r\nold", "close version",
        closes=True),
    Exchange("answer: of HTTP/1.0", get(b"/"), b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nold", "version",
        closes=True),
    Exchange("answer: of HTTP/1.0, kept", get(b"/"),
        b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 3\r\n\r\nold", "version hop"),
    Exchange("answer: events", get(b"/", b"accept: text/event-stream"), say(
        b"200 OK", b"content-type: text/event-stream", CHUNKED,
            body=b"9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n"),
        "chunks"),
    Exchange("answer: after 103", get(b"/"), b"HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n" + OK, "interim"),
    Exchange("answer: after 102 and 103", get(b"/"),
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nset-cookie: a=b\r\n\r\n" + OK, "interim"),
    Exchange("answer: after a 100 nobody asked for", post(b"content-length: 1", body=b"a"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK, "interim"),
    Exchange("answer: another coding", get(b"/"), say(b"200 OK", b"transfer-encoding: gzip", body=b"x"), "refused",
        status=502, closes=True),
    Exchange("answer: no HTTP", get(b"/"), b"SSH-2.0-OpenSSH\r\n", "refused", status=502),
    Exchange("answer: of HTTP/2", get(b"/"), b"HTTP/2.0 200 OK\r\n\r\n", "refused", status=502),
]  # fmt: skip
