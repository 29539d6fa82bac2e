"""A slot's health URL is looked at within a limit, and whatever it does is an answer that a person can read."""

import asyncio
import json
import threading
import time

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from rollouts.observation import Slot
from shifting import health
from shifting.health import Prober

KEY = "preview-key-hush-hush"
BEARER = "token-hush-hush"


class SlotServer:
    """A slot that answers as it is told; `seen` holds the requests' headers, `asked` their paths."""

    def __init__(self):
        self.answer = lambda request: web.json_response({"version": "1.4.2", "slot": "green"})
        self.seen = []
        self.asked = []

    async def handle(self, request):
        self.seen.append(request.headers.copy())
        self.asked.append(request.path_qs)
        answer = self.answer(request)
        return await answer if asyncio.iscoroutine(answer) else answer


@pytest.fixture
def site(serving):
    server = SlotServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    server.url = serving.serve(app)
    server.plain_url = server.url.replace("https", "http")
    return server


def probe(site, *, prober=None, url=None, timeout=5.0, **words):
    prober = prober or Prober(timer=time.monotonic)
    return prober.probe(url or site.url, "/api/health", timeout, **({"preview": False} | words))


def test_200_with_a_version_is_healthy(site):
    seen = probe(site)
    assert (seen.healthy, seen.version, seen.detail) == (True, "1.4.2", "200 version 1.4.2")
    assert 0 < seen.seconds < 5
    assert site.asked == ["/api/health"]


def test_the_path_is_put_below_a_url_that_has_one(site):
    probe(site, url=f"{site.url}/checkout/")
    assert site.asked == ["/checkout/api/health"]


def test_the_version_may_come_in_a_header_without_json(site):
    site.answer = lambda request: web.Response(text="ok", headers={"x-version": " 7.0.0 "})
    assert probe(site).version == "7.0.0"


@pytest.mark.parametrize("status", [201, 204, 400, 401, 404, 429, 500, 503])
def test_any_other_status_is_unhealthy_and_named(site, status):
    site.answer = lambda request: web.json_response({"version": "1.4.2"}, status=status)
    seen = probe(site)
    assert (seen.healthy, seen.version, seen.detail) == (False, None, str(status))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_says_where_to_without_what_can_be_secret(site, status):
    where = "https://me:word@login.example/start?code=hush-hush#hush-hush"
    site.answer = lambda request: web.Response(status=status, headers={"Location": where})
    seen = probe(site)
    assert seen.healthy is False
    assert seen.detail.startswith(f"{status} to https://login.example/start:")
    assert "hush" not in seen.detail
    assert "word" not in seen.detail
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    ("location", "says"),
    [("/other", "/other:"), ("", "/api/health:"), ("https://[", "a place that is no URL:")],
)
def test_a_redirect_to_anywhere_is_an_answer(site, location, says):
    site.answer = lambda request: web.Response(status=302, headers={"Location": location})
    assert says in probe(site).detail


def test_a_redirects_body_is_limited_like_any_other(site):
    site.answer = lambda request: web.Response(status=302, body=b"x" * 300_000, headers={"Location": "/a"})
    assert probe(site).detail.startswith("302 to ")


def test_html_is_unhealthy_whatever_its_headers_say(site):
    site.answer = lambda request: web.Response(
        text="<html>Your app is up and running</html>", content_type="text/html", headers={"x-version": "1"}
    )
    seen = probe(site)
    assert (seen.healthy, seen.version) == (False, None)
    assert "HTML" in seen.detail


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 60_000, "not an object"),
        ('{"a":' * 10_000, "not JSON"),
        ('{"version": "1", "pad": ' + "[" * 30_000, "not JSON"),
        ('{"version": NaN}', "not JSON"),
        ("\udcff".encode("utf-8", "surrogateescape"), "not JSON"),
        ("[1]", "not an object"),
        ('"1.4.2"', "not an object"),
    ],
)
def test_what_is_no_json_object_is_unhealthy(site, body, says):
    data = body if isinstance(body, bytes) else body.encode()
    site.answer = lambda request: web.Response(body=data, content_type="application/json")
    seen = probe(site)
    assert seen.healthy is False
    assert says in seen.detail


def test_a_byte_order_mark_is_no_fault(site):
    site.answer = lambda request: web.Response(
        body=b"\xef\xbb\xbf" + b'{"version": "1"}', content_type="application/json"
    )
    assert probe(site).version == "1"


@pytest.mark.parametrize("version", [None, 1.4, "", "  ", ["1"], "x" * 129, "1\n2", "\x1b[31m1"])
def test_an_answer_without_a_usable_version_has_none_and_says_so(site, version):
    site.answer = lambda request: web.json_response({"version": version})
    seen = probe(site)
    assert (seen.healthy, seen.version) == (True, None)
    assert "version" in seen.detail
    assert "\x1b" not in seen.detail


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_any_json_is_judged_without_an_error(body):
    answer = health._Answer(200, headers={"content-type": "application/json"}, body=json.dumps(body).encode())
    healthy, version, detail = health._judge(answer, "https://a.example/health")
    assert healthy is isinstance(body, dict)
    assert version is None or 0 < len(version) <= 128
    assert detail


@given(st.binary(max_size=200))
def test_any_bytes_are_judged_without_an_error(body):
    answer = health._Answer(200, headers={}, body=body)
    assert health._judge(answer, "https://a.example/health")[2]


def test_64_kib_are_read_and_not_more(site):
    def sized(length):
        return json.dumps({"version": "1", "pad": "x" * (length - len(json.dumps({"version": "1", "pad": ""})))})

    site.answer = lambda request: web.Response(text=sized(64 * 1024), content_type="application/json")
    assert probe(site).version == "1"
    site.answer = lambda request: web.Response(text=sized(64 * 1024 + 1), content_type="application/json")
    seen = probe(site)
    assert (seen.healthy, seen.version) == (False, None)
    assert "more than 64 KiB" in seen.detail


async def endless(request):
    response = web.StreamResponse()
    await response.prepare(request)
    while request.transport and not request.transport.is_closing():
        await response.write(b" " * 65536)
        await asyncio.sleep(0)
    return response


def test_an_endless_body_ends_at_the_limit(site):
    site.answer = endless
    assert "more than 64 KiB" in probe(site).detail


async def hang(request):
    while request.transport and not request.transport.is_closing():
        await asyncio.sleep(0.02)
    return web.Response()


async def drip(request):
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
    await response.prepare(request)
    while request.transport and not request.transport.is_closing():
        await response.write(b" ")
        await asyncio.sleep(0.05)
    return response


@pytest.mark.parametrize("slow", [hang, drip])
def test_the_limit_is_over_the_whole_answer_and_the_connection_is_cut(site, slow):
    site.answer = slow
    started = time.monotonic()
    seen = probe(site, timeout=0.3)
    assert time.monotonic() - started < 2
    assert (seen.healthy, seen.version, seen.seconds) == (False, None, None)
    assert seen.detail == "no answer in 0.3 s"
    left = [thread for thread in threading.enumerate() if thread.name == "probe"]
    for thread in left:
        thread.join(2)
    assert not any(thread.is_alive() for thread in left)


async def ended(server: asyncio.Server) -> None:
    """On the server's own loop: closed from another thread, a connection that ends in this moment breaks it."""
    server.close()


def test_headers_that_drip_end_at_the_limit_too(serving):
    async def start():
        async def handle(reader, writer):
            try:
                writer.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
                while not writer.is_closing():
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.05)
            except ConnectionError:
                writer.close()

        return await asyncio.start_server(handle, "127.0.0.1", 0)

    server = serving.run(start())
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    seen = Prober(timer=time.monotonic).probe(url, "/", 0.3, preview=False)
    assert seen.detail == "no answer in 0.3 s"
    for thread in threading.enumerate():
        if thread.name == "probe":
            thread.join(2)
            assert not thread.is_alive()
    serving.run(ended(server))


def test_junk_on_the_wire_is_an_answer(serving):
    async def start():
        async def handle(reader, writer):
            writer.write(b"\x00\x01 nonsense\r\n\r\n")
            writer.close()

        return await asyncio.start_server(handle, "127.0.0.1", 0)

    server = serving.run(start())
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    seen = Prober(timer=time.monotonic).probe(url, "/", 2, preview=False)
    assert seen.healthy is False
    assert "no connection" in seen.detail
    serving.run(ended(server))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://127.0.0.1:9", "no connection (NewConnectionError)"),
        ("https://", "its URL is not one"),
        ("blue.example", "its URL is not one"),
        ("ftp://blue.example", "its URL is not one"),
        ("https://[", "its URL is not one"),
        ("https://" + "x" * 300 + ".example", ""),
        ("https://127.0.0.1:99999", ""),
    ],
)
def test_a_url_that_leads_nowhere_is_an_answer(url, says):
    seen = Prober(timer=time.monotonic).probe(url, "/api/health", 2, preview=False)
    assert (seen.healthy, seen.version) == (False, None)
    assert says in seen.detail


def test_a_certificate_of_nobody_is_named(site, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assert "certificate" in probe(site).detail
    assert site.asked == []


def test_direct_probes_carry_no_secret(site):
    probe(site, prober=Prober(timer=time.monotonic, preview_key=KEY))
    assert KEY not in str(site.seen[0])
    assert "Authorization" not in site.seen[0]


def test_a_preview_probe_carries_the_key_and_the_slot(site):
    probe(site, prober=Prober(timer=time.monotonic, preview_key=KEY), preview=True, slot=Slot.GREEN)
    assert site.seen[0]["x-canary-preview"] == KEY
    assert site.seen[0]["x-canary-slot"] == "green"


def test_a_private_slot_gets_the_bearer_token(site):
    probe(site, prober=Prober(timer=time.monotonic, token=lambda: BEARER))
    assert site.seen[0]["Authorization"] == f"Bearer {BEARER}"


def test_a_password_of_netrc_is_never_sent(site, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hush-hush\n")
    monkeypatch.setenv("NETRC", str(netrc))
    probe(site)
    assert "Authorization" not in site.seen[0]


def test_a_token_that_does_not_come_is_an_answer(site):
    def refuse():
        raise RuntimeError(BEARER)

    seen = probe(site, prober=Prober(timer=time.monotonic, token=refuse))
    assert (seen.healthy, seen.detail) == (False, "not asked: no token for the slot (RuntimeError)")
    assert site.asked == []


def test_a_token_is_never_sent_over_plain_http(site):
    prober = Prober(timer=time.monotonic, token=lambda: BEARER)
    seen = probe(site, prober=prober, url=site.plain_url)
    assert (seen.healthy, seen.detail[:46]) == (False, "not asked: a key or a token is sent over https")
    assert prober.warm_up(site.plain_url, "/", 1, 1, preview=False) is False


@pytest.mark.parametrize(
    ("key", "scheme", "named", "says"),
    [
        (None, "https", Slot.BLUE, "PREVIEW_KEY is not set"),
        (KEY, "http", Slot.BLUE, "over https only"),
        (KEY, "https", None, "needs a slot"),
    ],
)
def test_a_preview_that_cannot_be_is_not_asked_and_says_why(site, key, scheme, named, says):
    url = site.url if scheme == "https" else site.plain_url
    prober = Prober(timer=time.monotonic, preview_key=key)
    seen = probe(site, prober=prober, url=url, preview=True, slot=named)
    assert seen.healthy is False
    assert says in seen.detail
    assert KEY not in seen.detail
    assert prober.warm_up(url, "/", 1, 1, preview=True, slot=named) is False
    assert site.asked == []


def warm(site, requests=10, timeout=5.0, **words):
    prober = Prober(timer=time.monotonic, preview_key=KEY)
    return prober.warm_up(site.url, "/api/warmup", requests, timeout, **({"preview": False} | words))


def test_warm_up_sends_as_many_requests_as_asked(site):
    assert warm(site) is True
    assert site.asked == ["/api/warmup"] * 10


def test_warm_up_through_the_gateway_carries_key_and_slot(site):
    assert warm(site, requests=2, preview=True, slot=Slot.BLUE) is True
    assert {(seen["x-canary-preview"], seen["x-canary-slot"]) for seen in site.seen} == {(KEY, "blue")}


@pytest.mark.parametrize(("status", "warmed"), [(404, True), (302, True), (499, True), (500, False), (503, False)])
def test_warm_up_succeeds_below_500_only(site, status, warmed):
    site.answer = lambda request: web.Response(status=status)
    assert warm(site, requests=3) is warmed


def test_one_failure_in_many_fails_the_warm_up_and_ends_it(site):
    site.answer = lambda request: web.Response(status=500)
    assert warm(site, requests=100) is False
    assert len(site.asked) < 20


def test_warm_up_uses_few_connections_at_a_time(site):
    running, most = [], []

    async def count(request):
        running.append(request)
        most.append(len(running))
        await asyncio.sleep(0.02)
        running.remove(request)
        return web.Response()

    site.answer = count
    assert warm(site, requests=20) is True
    assert 2 <= max(most) <= 4


def test_warm_up_of_a_slot_that_hangs_fails_within_the_limit(site):
    site.answer = hang
    started = time.monotonic()
    assert warm(site, requests=8, timeout=0.2) is False
    assert time.monotonic() - started < 2
