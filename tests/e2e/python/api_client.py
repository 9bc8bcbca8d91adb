"""A client of an API behind a gateway, with Python's own library and nothing else.

    api_client.py device URL          asks who gives tokens (RFC 9728), has a person sign in anywhere (RFC
                                      8628), and calls; `open ADDRESS` on standard error says where
    api_client.py service URL         calls with the service token in SERVICE_TOKEN
    api_client.py mobile URL PERSON   signs in as an application on a telephone does that shows pages and
                                      runs no script: cookies, redirects, links and forms

Prints the answer of URL. CA is in SSL_CERT_FILE.
"""

import html
import http.cookiejar
import json
import os
import re
import socket
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

# Names below localhost are this machine (RFC 6761 section 6.3), which the system may not know.
lookup = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: lookup(
    "127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **more
)

jar = http.cookiejar.CookieJar()
opener = urllib.request.build_opener(
    urllib.request.HTTPCookieProcessor(jar), urllib.request.ProxyHandler({})
)


def ask(url, fields=None, form=None):
    """The status, the fields, the body and the address of the last answer, after redirects."""
    body = urllib.parse.urlencode(form).encode() if form is not None else None
    request = urllib.request.Request(url, body, fields or {})
    try:
        answer = opener.open(request, timeout=20)
    except urllib.error.HTTPError as error:
        answer = error
    return answer.status, answer.headers, answer.read().decode(), answer.url


def device(url):
    status, fields, _, _ = ask(url)
    assert status == 401, status
    metadata = re.search(r'resource_metadata="([^"]+)"', fields["WWW-Authenticate"]).group(1)
    resource = json.loads(ask(metadata)[2])
    issuer = resource["authorization_servers"][0]
    provider = json.loads(ask(f"{issuer}/.well-known/openid-configuration")[2])
    about = {"client_id": "cli", "resource": resource["resource"]}
    scope = " ".join(resource["scopes_supported"])
    begun = ask(provider["device_authorization_endpoint"], form={**about, "scope": scope})
    code = json.loads(begun[2])
    print("open", code["verification_uri_complete"], file=sys.stderr, flush=True)
    grant = {
        **about,
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": code["device_code"],
    }
    while True:
        time.sleep(code.get("interval", 5))
        said = json.loads(ask(provider["token_endpoint"], form=grant)[2])
        if "access_token" in said:
            return ask(url, {"Authorization": f"Bearer {said['access_token']}"})
        assert said["error"] == "authorization_pending", said


def service(url):
    return ask(url, {"Appproxy-Authorization": f"Bearer {os.environ['SERVICE_TOKEN']}"})


def mobile(url, person):
    page = {"Accept": "text/html"}
    status, _, text, at = ask(url, page)
    for _ in range(6):
        if status in (200, 403) and at == url:
            break
        noscript = re.search(r"<noscript>.*?href=\"([^\"]+)\"", text, re.S)
        link = noscript or re.search(r"<main.*?href=\"([^\"]+)\"", text, re.S)
        if re.search(r'<button name="account"', text):
            status, _, text, at = ask(at, page, {"account": person})
        else:
            status, _, text, at = ask(urllib.parse.urljoin(at, html.unescape(link.group(1))), page)
    return status, None, text, at


way, url, *rest = sys.argv[1:]
status, _, body, _ = {"device": device, "service": service, "mobile": mobile}[way](url, *rest)
print(status, body)
