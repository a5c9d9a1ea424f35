"""Awkward requests: targets, methods, fields, cookies, hops, forwarding fields, bodies, clients."""

from tests.edge.corpus.exchange import CHUNKED, GZIP, NONE, OK, Exchange, ask, get, post, say, sized

MULTIPART = (
    b'--x7\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n--x7\r\n'
    b'content-disposition: form-data; name="f"; filename="\xc3\xbc.bin"\r\n'
    b"content-type: application/octet-stream\r\n\r\n" + bytes(range(256)) + b"\r\n--x7--\r\n"
)
UNCHANGED_TARGETS = {
    "a path": b"/a/b",
    "two slashes first": b"//x",
    "two slashes within": b"/a//b///c",
    "a slash at the end": b"/a/",
    "a bare question mark": b"/?",
    "a bare question mark after a path": b"/a?",
    "two question marks": b"/a??b",
    "a question mark in the query": b"/a?b=/c?d",
    "semicolons in the query": b"/x?a=1;b=2",
    "an empty parameter": b"/x?a=&=b&&c",
    "a repeated parameter": b"/x?a=1&a=2&a[]=3",
    "an encoded slash": b"/a%2Fb",
    "an encoded slash in small letters": b"/a%2fb",
    "an encoded encoding": b"/a%252Fb",
    "an encoded letter": b"/%61%62",
    "an encoded plus and a plus": b"/a+b%2B?c+d%2B",
    "an encoded blank": b"/a%20b?c%20d",
    "an encoded question mark": b"/a%3Fb",
    "an encoded hash": b"/a%23b",
    "UTF-8, encoded": b"/k%C3%BCche?q=%E2%82%AC",
    "Latin-1, encoded": b"/k%FCche",
    "broken UTF-8, encoded": b"/%C3%28?%FF",
    "matrix parameters": b"/a;v=1/b;w=2",
    "a dot segment": b"/a/./b",
    "two dots": b"/a/../b",
    "encoded dots": b"/a/%2e%2e/b",
    "two dots above the root": b"/../../a",
    "dots that are names": b"/.../..a/a../.b",
    "a backslash": b"/a\\b",
    "a tilde and signs": b"/~a/!$&'()*+,=:@-._",
    "quotes and braces": b'/a"b<c>d{e}f|g^h`i',
    "brackets": b"/a[0]?b[1]=c",
    "a hash": b"/a#b",
    "a whole address in the query": b"/go?to=http://other.example//x?y#z",
    "a broken percent in the query": b"/a?b=100%&c=%zz",
    "a colon in the first segment": b"/a:b/c",
    "an at sign": b"/@shop/a@b",
    "case": b"/AbC?DeF",
    "a path like ours": b"/-/waitroomx/status",
    "an encoded tab in the query": b"/a?b=%09%0D%0A",
    "a long path": b"/" + b"a/" * 3000,
    "a long query": b"/?" + b"q=0123456789&" * 600,
    "a very long query": b"/?" + b"x" * 60_000,
    "a long path, encoded": b"/" + b"%41" * 1500,
}
TARGETS = [Exchange(f"target: {name}", get(target)) for name, target in UNCHANGED_TARGETS.items()] + [
    Exchange("target: a broken percent", get(b"/100%"), gate=400),
    Exchange("target: an absolute form", get(b"http://shop.example/a//b?c"), rows="absolute"),
    Exchange("target: an absolute form without a path", get(b"http://shop.example"), rows="absolute"),
    Exchange("target: an absolute form with only a query", get(b"http://shop.example?a=b"), rows="absolute"),
    Exchange("target: an absolute form in capitals", get(b"HTTP://SHOP.example/A"), rows="absolute"),
    Exchange("target: the star", ask(b"OPTIONS * HTTP/1.1")),
]

METHODS = [
    Exchange(f"method: {method.decode()}", ask(method + b" /a HTTP/1.1"))
    for method in (
        b"GET POST PUT PATCH DELETE OPTIONS PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK SEARCH REPORT"
        b" CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PURGE MKCALENDAR BIND REBIND UNBIND ACL LINK UNLINK"
        b" MKACTIVITY QUERY"
    ).split()
] + [
    Exchange("method: HEAD", ask(b"HEAD /a HTTP/1.1"), say(b"200 OK", b"content-length: 500", b"etag: x")),
    Exchange("method: HEAD without a length", ask(b"HEAD /a HTTP/1.1"), say(b"200 OK", b"etag: x")),
    Exchange("method: HEAD in chunks", ask(b"HEAD /a HTTP/1.1"), say(b"200 OK", CHUNKED), "chunks"),
    Exchange("method: HEAD of nothing", ask(b"HEAD /a HTTP/1.1"), say(b"404 Not Found", NONE)),
    Exchange("method: unknown", ask(b"BREW /pot HTTP/1.1"), rows="refused", status=400, asks_shop=False),
    Exchange("method: small letters", ask(b"get /a HTTP/1.1"), rows="refused", status=400, asks_shop=False),
    Exchange("method: TRACE", ask(b"TRACE /a HTTP/1.1"), rows="refused", status=405, asks_shop=False),
    Exchange("method: CONNECT", ask(b"CONNECT a:443 HTTP/1.1"), rows="refused", status=405, asks_shop=False),
]

FIELDS = [
    Exchange("fields: order", get(b"/", b"b: 1", b"a: 2", b"c: 3", b"a: 1")),
    Exchange("fields: repeated", get(b"/", b"x: 1", b"x: 2", b"x: 1", b"x: 1")),
    Exchange("fields: repeated apart", get(b"/", b"accept: a", b"y: 1", b"accept: b")),
    Exchange("fields: empty", get(b"/", b"x-empty: ", b"y: 1", b"x-empty: ")),
    Exchange("fields: Host last", ask(b"GET / HTTP/1.1", b"a: 1", b"host: shop.example", host=b"")),
    Exchange("fields: Host with a port", ask(b"GET / HTTP/1.1", host=b"host: shop.example:8443")),
    Exchange("fields: Host in capitals", ask(b"GET / HTTP/1.1", host=b"host: SHOP.Example")),
    Exchange("fields: Host of IPv6", ask(b"GET / HTTP/1.1", host=b"host: [2001:db8::1]")),
    Exchange("fields: Host with a dot at the end", ask(b"GET / HTTP/1.1", host=b"host: shop.example.")),
    Exchange("fields: obs-text", get(b"/", b"x-name: K\xfcche \xff\x80", b"referer: http://a/\xc3\xbc")),
    Exchange("fields: all of obs-text", get(b"/", b"x: a" + bytes(range(0x80, 0x100)) + b"z")),
    Exchange("fields: all of ASCII", get(b"/", b"x: " + bytes(range(0x21, 0x7F)))),
    Exchange("fields: blanks within", get(b"/", b"x: a  b\tc \t d")),
    Exchange("fields: commas and quotes", get(b"/", b'x: "a, b", c, ,"d\\"e"')),
    Exchange("fields: colons", get(b"/", b"x: :a:b:", b"referer: http://shop.example:80/x")),
    Exchange("fields: odd names", get(b"/", b"!#$%&'*+.^_`|~: 1", b"x_y: 2", b"0: 3")),
    Exchange("fields: one letter", get(b"/", b"a: b", b"b: a")),
    Exchange("fields: a name of 200 letters", get(b"/", b"x" * 200 + b": 1")),
    Exchange("fields: a value of 40,000 bytes", get(b"/", b"x: " + b"v" * 40_000)),
    Exchange("fields: 300 of them", get(b"/", *(b"x-%d: %d" % (at, at) for at in range(300)))),
    Exchange("fields: capitals", get(b"/", b"X-Abc: 1", b"ACCEPT: A", b"x-aBC: 2"), rows="names"),
    Exchange("fields: a Host in capitals", ask(b"GET / HTTP/1.1", host=b"HOST: shop.example"), rows="names"),
    Exchange("fields: no blank", get(b"/", b"x:1", b"y:"), rows="blanks"),
    Exchange("fields: more blanks", get(b"/", b"x:  \t 1 \t ", b"y: \t "), rows="blanks"),
    Exchange("fields: all that a browser sends", get(
        b"/p/1?utm=a", b"connection: keep-alive", b'sec-ch-ua: "Chromium";v="149", "Not)A;Brand";v="24"',
        b"sec-ch-ua-mobile: ?0", b"upgrade-insecure-requests: 1", b"user-agent: Mozilla/5.0 (X11; Linux x86_64)",
        b"accept: text/html,application/xhtml+xml,*/*;q=0.8", b"sec-fetch-site: none", b"sec-fetch-mode: navigate",
        b"sec-fetch-user: ?1", b"sec-fetch-dest: document", b"accept-encoding: gzip, deflate, br, zstd",
        b"accept-language: de-DE,de;q=0.9", b"priority: u=0, i"), rows="hop"),
    Exchange("fields: conditions", get(
        b"/", b'if-none-match: "a", W/"b"', b"if-modified-since: Sat, 29 Oct 1994 19:43:31 GMT", b"if-match: *",
        b'if-range: "a"', b"range: bytes=0-0,-1")),
    Exchange("fields: authorization", get(b"/", b"authorization: Basic YTpi", b"proxy-authorization: Basic YTpi")),
    Exchange("fields: rewrites", get(b"/", b"x-http-method-override: DELETE", b"x-requested-with: XMLHttpRequest")),
    Exchange("fields: an expectation that is none", get(b"/", b"expect: something-else")),
]  # fmt: skip

COOKIES = [
    Exchange("cookies: one", get(b"/", b"cookie: a=1")),
    Exchange("cookies: odd", get(b"/", b'cookie: a="q;x"; b==; =c; d; e=\xff; $Version=1;;  f=1;')),
    Exchange("cookies: the same name", get(b"/", b"cookie: a=1; a=2; A=3")),
    Exchange("cookies: two fields", get(b"/", b"cookie: a=1", b"cookie: b=2")),
    Exchange("cookies: an empty field", get(b"/", b"cookie: ")),
    Exchange("cookies: 100 of them", get(b"/", b"cookie: " + b"; ".join(b"c%d=%d" % (n, n) for n in range(100)))),
    Exchange("cookies: 50 fields", get(b"/", *(b"cookie: c%d=%d" % (n, n) for n in range(50)))),
    Exchange("cookies: of 8 KB", get(b"/", b"cookie: s=" + b"x" * 8000)),
    Exchange("cookies: ours in the middle", get(b"/", b"cookie: a=1; waitroom_x_pass=2; b=3"), rows="ours"),
    Exchange("cookies: ours first", get(b"/", b"cookie: waitroom_x_ticket=2; b=3"), rows="ours"),
    Exchange("cookies: ours last", get(b"/", b"cookie: b=3; __Host-waitroom_x_ticket=2"), rows="ours"),
    Exchange("cookies: only ours", get(b"/", b"cookie: __Secure-waitroom_x_pass=2", b"y: 1"), rows="ours"),
    Exchange("cookies: ours in capitals", get(b"/", b"cookie: WAITROOM_x=1; a=2"), rows="ours"),
    Exchange("cookies: nearly ours", get(b"/", b"cookie: xwaitroom_a=1; wait_room=2; a=waitroom_b; waitroom=3")),
    Exchange("cookies: set", get(b"/"), say(
        b"200 OK", b"set-cookie: a=1; Path=/; Expires=Wed, 09 Jun 2032 10:18:14 GMT", b'set-cookie: b="x,y"; HttpOnly',
        b"content-length: 2", b"set-cookie: a=1", b"set-cookie: __Host-s=\xfc; Secure", b"set-cookie: ", body=b"ok")),
    Exchange("cookies: ours set by the shop", get(b"/"), say(
        b"200 OK", b"set-cookie: waitroom_shop_pass=x", b"set-cookie: a=1", b"set-cookie: __Host-waitroom_a=b",
        b"content-length: 2", body=b"ok"), "ours"),
]  # fmt: skip

HOPS = [
    Exchange("hop: Connection", get(b"/", b"connection: keep-alive", b"keep-alive: timeout=5"), rows="hop"),
    Exchange("hop: close", get(b"/", b"connection: close"), rows="hop"),
    Exchange("hop: close among others", get(b"/", b"connection: x-a, close", b"x-a: 1", b"x-b: 2"), rows="hop"),
    Exchange("hop: what Connection names", get(b"/", b"x-a: 1", b"connection: x-a,, X-B", b"x-b: 2"), rows="hop"),
    Exchange("hop: named in two fields", get(b"/", b"connection: x-a", b"connection: x-b", b"x-a: 1", b"x-b: 2"),
        rows="hop"),
    Exchange("hop: Host named", get(b"/", b"connection: host, x-a", b"x-a: 1"), rows="hop"),
    Exchange("hop: TE and Trailer", get(b"/", b"te: trailers", b"trailer: x", b"connection: te"), rows="hop"),
    Exchange("hop: Proxy-Connection", get(b"/", b"proxy-connection: keep-alive"), rows="hop"),
    Exchange("hop: an answer's", get(b"/"), say(
        b"200 OK", b"connection: x-a, keep-alive", b"x-a: 1", b"keep-alive: timeout=9", b"content-length: 2",
        b"proxy-connection: x", b"upgrade: h2c", b"te: x", b"trailer: y", b"x-b: 1", body=b"ok"), "hop"),
    Exchange("hop: an answer's length named", get(b"/"), say(
        b"200 OK", b"connection: content-length", b"content-length: 2", body=b"ok"), "hop"),
    Exchange("hop: the shop closes", get(b"/"), say(
        b"200 OK", b"connection: close", b"content-length: 2", body=b"ok"), "hop", closes=True),
]  # fmt: skip

UPGRADE = (b"connection: upgrade", b"upgrade: websocket")
UPGRADES = [
    Exchange("upgrade: to a WebSocket, refused", get(
        b"/chat", *UPGRADE, b"sec-websocket-version: 13", b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="),
        say(b"400 Bad Request", NONE), "hop upgrade"),
    Exchange("upgrade: to a WebSocket, of a version not known", get(b"/chat", *UPGRADE, b"sec-websocket-version: 7"),
        say(b"426 Upgrade Required", b"upgrade: websocket", b"connection: upgrade", b"sec-websocket-version: 13", NONE),
        "hop upgrade"),
    Exchange("upgrade: to a WebSocket, ignored", get(b"/chat", *UPGRADE), rows="hop upgrade"),
    Exchange("upgrade: to something of the shop's own", get(b"/", b"upgrade: Foo/2", b"connection: x-a, UPGRADE"),
        rows="hop upgrade"),
    Exchange("upgrade: not meant", get(b"/", b"upgrade: websocket"), rows="hop"),
    Exchange("upgrade: to h2c", get(
        b"/", b"connection: upgrade, http2-settings", b"upgrade: h2c", b"http2-settings: AAMAAABkAAQAAP__"),
        rows="hop"),
    Exchange("upgrade: with a body", post(*UPGRADE, b"content-length: 3", body=b"abc"), rows="hop"),
    Exchange("upgrade: of OPTIONS", ask(b"OPTIONS / HTTP/1.1", *UPGRADE), rows="hop"),
    Exchange("upgrade: of HTTP/1.0", ask(b"GET / HTTP/1.0", *UPGRADE), rows="hop version"),
]  # fmt: skip

FORWARDING = [
    Exchange("forwarded: a stranger's", get(
        b"/", b"x-forwarded-for: 1.2.3.4", b"x-real-ip: 1.2.3.4", b"x-forwarded-proto: https",
            b"forwarded: for=1.2.3.4",
        b"x-forwarded-host: evil", b"x-forwarded-prefix: /x", b"x-forwarded-port: 1", b"a: 1"), rows="forwarded"),
    Exchange("forwarded: a proxy's", get(
        b"/", b"x-forwarded-for: 1.2.3.4", b"x-real-ip: 1.2.3.4", b"x-forwarded-proto: https",
            b"forwarded: for=1.2.3.4",
        b"x-forwarded-host: shop.test", b"x-forwarded-prefix: /x", b"x-forwarded-port: 443", b"a: 1"),
        rows="forwarded", proxy=True),
    Exchange("forwarded: a proxy's list", get(
        b"/", b"x-forwarded-for: 9.9.9.9, 1.2.3.4", b"x-forwarded-for: 5.6.7.8"), rows="forwarded", proxy=True),
    Exchange("forwarded: a proxy that says nothing", get(b"/"), rows="forwarded", proxy=True),
    Exchange("forwarded: other spellings", get(
        b"/", b"x_forwarded_for: 1", b"x-forwarded_proto: https", b"x_real_ip: 1", b"x_forwarded-prefix: 1"),
        rows="spellings"),
    Exchange("forwarded: a proxy's other spellings", get(b"/", b"x_forwarded_for: 1", b"x-real_ip: 1"),
        rows="spellings", proxy=True),
    Exchange("spellings: of the framing", get(b"/", b"content_length: 5", b"transfer_encoding: chunked", b"a: 1"),
        rows="spellings"),
    Exchange("spellings: with other signs", get(b"/", b"x.forwarded.for: 1", b"content!length: 5", b"x~real-ip: 1"),
        rows="spellings"),
    Exchange("host: another for the shop", get(b"/", b"a: 1"), rows="host", other_host=True),
    Exchange("host: another for the shop, under HTTP/1.0", ask(b"GET / HTTP/1.0", host=b""), rows="host version",
        other_host=True),
    Exchange("ours: fields from outside", get(
        b"/", b"waitroom-place: 1", b"waitroom_place: 2", b"waitroom-admitted_at: 3", b"waitroom-x: 1", b"a: 1"),
        rows="ours"),
    Exchange("ours: commands of the shop", get(b"/"), say(
        b"200 OK", b"waitroom-command: junk", b"x: 1", b"waitroom-order-id: 7", b"content-length: 2", body=b"ok"),
        "ours"),
    Exchange("via: another's", get(b"/", b"via: 1.0 fred, 1.1 p.example"), say(
        b"200 OK", b"via: 1.1 varnish", b"content-length: 2", body=b"ok"), "via"),
    Exchange("place: told to the shop", get(b"/", b"a: 1"), rows="place cookie", admitted=True),
    Exchange("cookie: beside a public answer", get(b"/"), say(
        b"200 OK", b"cache-control: public, max-age=60, s-maxage=600", b"surrogate-control: max-age=600",
        b"cdn-cache-control: max-age=600", b"content-length: 2", body=b"ok"), "place cookie", admitted=True),
    Exchange("cookie: beside the shop's", get(b"/"), say(
        b"200 OK", b"set-cookie: a=1", b"cache-control: no-cache", b"content-length: 2", body=b"ok"),
        "place cookie", admitted=True),
]  # fmt: skip

BODIES = [
    Exchange("body: with a length", post(b"content-length: 10", body=b"0123456789")),
    Exchange("body: of no bytes", post(NONE)),
    Exchange("body: a length with zeros", post(b"content-length: 0003", body=b"abc")),
    Exchange("body: a POST without one", post()),
    Exchange("body: all bytes", post(b"content-length: 256", body=bytes(range(256)))),
    Exchange("body: looks like a request", post(b"content-length: 34",
        body=b"GET /evil HTTP/1.1\r\nhost: evil\r\n\r\n")),
    Exchange("body: of a GET", get(b"/search", b"content-length: 2") + b"{}"),
    Exchange("body: of a DELETE", ask(b"DELETE /a HTTP/1.1", b"content-length: 2", body=b"{}")),
    Exchange("body: of a PROPFIND", ask(b"PROPFIND / HTTP/1.1", b"depth: 1", b"content-length: 4", body=b"<a/>")),
    Exchange("body: multipart", post(
        b"content-type: multipart/form-data; boundary=x7", sized(MULTIPART), body=MULTIPART)),
    Exchange("body: a form", post(
        b"content-type: application/x-www-form-urlencoded", b"content-length: 11", body=b"a=1&b=%20+c")),
    Exchange("body: gzip", post(b"content-encoding: gzip", sized(GZIP), body=GZIP)),
    Exchange("body: 300,000 bytes", post(b"content-length: 300000", body=b"0123456789" * 30_000)),
    Exchange("body: in chunks", post(CHUNKED, body=b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), rows="chunks"),
    Exchange("body: in no chunks", post(CHUNKED, body=b"0\r\n\r\n"), rows="chunks"),
    Exchange("body: chunks in capitals", post(b"transfer-encoding: CHUNKED", body=b"A\r\n0123456789\r\n0\r\n\r\n"),
        rows="chunks"),
    Exchange("body: chunk extensions", post(CHUNKED, body=b'3;a=b;c="d"\r\nabc\r\n0;x\r\n\r\n'), rows="chunks"),
    Exchange("body: zeros before a size", post(CHUNKED, body=b"0003\r\nabc\r\n000\r\n\r\n"), rows="chunks"),
    Exchange("body: a chunk that looks like the end", post(CHUNKED, body=b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"),
        rows="chunks"),
    Exchange("body: a large chunk", post(CHUNKED, body=b"186A0\r\n" + b"x" * 100_000 + b"\r\n0\r\n\r\n"),
        rows="chunks"),
    Exchange("body: trailers", post(
        CHUNKED, b"trailer: x-sum", body=b"3\r\nabc\r\n0\r\nx-sum: 1\r\nwaitroom-place: 1\r\n\r\n"),
        rows="chunks trailers hop"),
    Exchange("body: gzip, chunked", post(CHUNKED, b"content-encoding: gzip", body=b"%x\r\n%b\r\n0\r\n\r\n" % (
        len(GZIP), GZIP)), rows="chunks"),
    Exchange("body: another coding", post(b"transfer-encoding: gzip, chunked", body=b"0\r\n\r\n"),
        rows="refused", status=501, asks_shop=False),
    Exchange("body: expected", post(b"expect: 100-continue", b"content-length: 3", body=b"abc"), (
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK), rows="interim"),
    Exchange("body: expected, in capitals", post(b"expect: 100-Continue", CHUNKED, body=b"3\r\nabc\r\n0\r\n\r\n"), (
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK), rows="interim chunks"),
    Exchange("body: expected, and there is none", get(b"/", b"expect: 100-continue")),
]  # fmt: skip

CLIENTS = [
    Exchange("1.0: with Host", ask(b"GET /a HTTP/1.0"), rows="version"),
    Exchange("1.0: without Host", ask(b"GET /a HTTP/1.0", b"a: 1", host=b""), rows="version host"),
    Exchange("1.0: keep-alive", ask(b"GET /a HTTP/1.0", b"connection: keep-alive"), rows="version hop"),
    Exchange("1.0: a body", ask(b"POST /a HTTP/1.0", b"content-length: 3", body=b"abc"), rows="version"),
    Exchange("1.0: HEAD", ask(b"HEAD /a HTTP/1.0"), say(b"200 OK", b"content-length: 9"), "version"),
    Exchange("1.0: an answer in chunks", ask(b"GET /a HTTP/1.0"), say(
        b"200 OK", CHUNKED, body=b"2\r\nok\r\n1\r\n!\r\n0\r\n\r\n"), "version chunks"),
    Exchange("1.0: an answer ended by close", ask(b"GET /a HTTP/1.0"), say(b"200 OK", body=b"all"), "version close",
        closes=True),
    Exchange("1.0: a 304", ask(b"GET /a HTTP/1.0"), say(b"304 Not Modified", b"etag: x"), "version"),
    Exchange("1.0: Expect is no promise", ask(b"POST /a HTTP/1.0", b"expect: 100-continue", b"content-length: 3",
        body=b"abc"), rows="version"),
    Exchange("pipeline: two", get(b"/1") + get(b"/2"), (OK, say(b"200 OK", b"content-length: 3", body=b"two"))),
    Exchange("pipeline: a body between", get(b"/1") + post(b"content-length: 3", body=b"abc") + get(b"/3"), (OK, OK,
        OK)),
    Exchange("pipeline: HEAD between", get(b"/1") + ask(b"HEAD /2 HTTP/1.1") + get(b"/3"), (
        OK, say(b"200 OK", b"content-length: 50"), OK)),
    Exchange("pipeline: ten", b"".join(get(b"/%d" % n) for n in range(10)), tuple(
        say(b"200 OK", b"content-length: 1", body=b"%d" % n) for n in range(10))),
    Exchange("pipeline: chunks, then another", post(CHUNKED, body=b"1\r\na\r\n0\r\n\r\n") + get(b"/2"), (OK, OK),
        rows="chunks"),
    Exchange("pipeline: an empty line between", get(b"/1") + b"\r\n" + get(b"/2"), (OK, OK)),
    Exchange("version: HTTP/2", ask(b"GET / HTTP/2.0"), rows="refused", status=505, asks_shop=False),
    Exchange("version: HTTP/1.2", ask(b"GET / HTTP/1.2"), rows="refused", status=400, asks_shop=False),
    Exchange("host: none", ask(b"GET / HTTP/1.1", host=b""), rows="refused", status=400, asks_shop=False),
]  # fmt: skip


REQUESTS = [*TARGETS, *METHODS, *FIELDS, *COOKIES, *HOPS, *UPGRADES, *FORWARDING, *BODIES, *CLIENTS]
