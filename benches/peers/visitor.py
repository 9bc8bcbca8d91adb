"""Somebody who opens a page in a browser and signs in, as far as cookies and redirects go."""

import http.cookiejar
import socket
import ssl
import urllib.request

from processes import Failed


class Policy(http.cookiejar.DefaultCookiePolicy):
    """One host, whatever its name: what a browser makes of `localhost`."""

    def return_ok_domain(self, cookie, request):
        return self.domain_return_ok(cookie.domain, request)

    def domain_return_ok(self, domain, request):
        # A name without dots is kept with `.local` behind it.
        return domain == http.cookiejar.eff_request_host(request)[1]


def to_loopback(host, *rest, resolve=socket.getaddrinfo):
    name = "127.0.0.1" if host == "localhost" or host.endswith(".localhost") else host
    return resolve(name, *rest)


def cookies(url):
    """Opens a page, signs in on the way, and gives the field `Cookie` of that page's host."""
    jar = http.cookiejar.CookieJar(Policy())
    context = ssl._create_unverified_context()
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context), urllib.request.HTTPCookieProcessor(jar)
    )
    opener.addheaders = [("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate"),
                         ("Sec-Fetch-Dest", "document")]
    usual, socket.getaddrinfo = socket.getaddrinfo, to_loopback
    try:
        with opener.open(url, timeout=10) as page:
            if page.geturl() != url:
                raise Failed(f"{url} led to {page.geturl()}")
    finally:
        socket.getaddrinfo = usual
    request = urllib.request.Request(url)
    jar.add_cookie_header(request)
    return request.get_header("Cookie") or ""
