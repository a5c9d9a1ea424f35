# Varnish between what ends TLS and the gateway. It caches only what stands below /static/ or /media/: a cached page
# would be handed to people who hold no pass.
# What ends TLS sets X-Forwarded-Proto, and X-Real-IP or drops it. The gateway: WAITROOM_PUBLIC_URL=https://shop.example
# WAITROOM_TRUSTED_PROXIES=<the addresses of both>
vcl 4.1;

backend waitroom {
    .host = "127.0.0.1";
    .port = "8080";
    # Held polls take 25 s, the shop as long as WAITROOM_ORIGIN_TIMEOUT.
    .first_byte_timeout = 75s;
    .between_bytes_timeout = 75s;
}

sub vcl_recv {
    # A pipe carries whatever follows on the connection, uninspected: for WebSockets only.
    if (req.http.Upgrade ~ "(?i)^websocket$" && req.http.Connection ~ "(?i)upgrade") {
        return (pipe);
    }
    unset req.http.Upgrade;
    unset req.http.HTTP2-Settings;
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }
    if (req.url !~ "^/(static|media)/" || req.http.Authorization) {
        return (pass);
    }
    # Below those paths no cookie decides anything but being let in: they are not part of the cache's key.
    return (hash);
}

sub vcl_pipe {
    set bereq.http.Upgrade = req.http.Upgrade;
    # If it does not come to a WebSocket, the gateway closes, and the pipe ends.
    set bereq.http.Connection = "upgrade, close";
}

sub vcl_backend_response {
    # Varnish does not heed these by itself. A 503 of ours must not be served again when there is room.
    if (beresp.status >= 400 || beresp.http.Set-Cookie || beresp.http.Cache-Control ~ "(?i)(private|no-store|no-cache)") {
        set beresp.uncacheable = true;
        set beresp.ttl = 0s;
        set beresp.grace = 0s;
    }
}
