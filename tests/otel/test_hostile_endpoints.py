"""Endpoints, headers, proxies and certificates as people get them wrong: a line, and no secret."""

from __future__ import annotations

import json
import logging
import os
import shutil
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

import aden
from aden.errors import ConfigurationError
from aden.otel.exporters import Exporters
from aden.otel.losses import Losses
from endpoints import Endpoint, always, nobody

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "sk-secret-of-the-tests"
BEARER = f"authorization=Bearer%20{KEY}"


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment of which the test says everything; an exporter gives up soon."""
    for name in os.environ:
        if name.startswith(
            ("OTEL_", "ADEN_", "SSL_", "REQUESTS_", "CURL_")
        ) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("HOME", str(tmp_path))


def export(name: str = "otlp", url: str | None = None) -> dict[tuple[str, str], int]:
    """Send one span; what was lost."""
    losses = Losses()
    exporter = Exporters(losses, url, KEY).spans(name)
    if exporter is not None:
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        provider.get_tracer("t").start_span("a span").end()
        provider.shutdown()
    return {(str(signal), cause): count for (signal, cause), count in losses.totals().items()}


@pytest.mark.parametrize(
    ("url", "cause", "said"),
    [
        ("127.0.0.1:4318", "bad_url", "OTEL_EXPORTER_OTLP_ENDPOINT: '127.0.0.1:4318/v1/traces'"),
        ("localhost:4318/", "bad_url", "is no URL such as http://collector:4318"),
        ("collector", "bad_url", "is no URL such as"),
        ("//collector:4318", "bad_url", "is no URL such as"),
        ("ftp://collector", "bad_url", "is no URL such as"),
        ("http://[::1:4318", "bad_url", "is no URL such as"),
        ("http://host:99999", "bad_url", "is no URL such as"),
        (f"http://me:{KEY}@[::1", "bad_url", "is no URL such as"),
        (f"http://me:{KEY}@127.0.0.1:1", "connection", "Connection refused"),
        ("http://no-such-host.invalid:4318", "connection", "cannot be reached"),
    ],
)
def test_an_endpoint_that_is_no_url_is_named(
    url: str, cause: str, said: str, monkeypatch: pytest.MonkeyPatch, told: Callable[[], str]
) -> None:
    """With its variable, where it is set; and what does not arrive counts as lost."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", BEARER)
    assert export() == {("traces", cause): 1}
    assert said in told()


@pytest.mark.parametrize(
    ("end", "path"), [("", "/v1/traces"), ("/", "/v1/traces"), ("/base", "/base/v1/traces")]
)
@pytest.mark.parametrize("name", ["otlp", "aden"])
def test_a_path_and_a_slash_at_its_end_are_no_matter(
    name: str, end: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal's own path comes behind."""
    with Endpoint(always(200)) as endpoint:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.url + end)
        assert export(name, endpoint.url + end) == {}
        assert [seen for seen, _ in endpoint.seen] == [path]


def test_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """In brackets, as URLs have it."""
    try:
        endpoint = Endpoint(always(200), "::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    with endpoint:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.url)
        assert (export(), export("aden", endpoint.url)) == ({}, {})
        assert len(endpoint.seen) == 2


@pytest.mark.parametrize(
    ("headers", "sent", "said"),
    [
        ("x-a=a%2Cb%25%20c," + BEARER, "a,b% c", ""),
        (f"x-a=a b=c,authorization=Bearer {KEY}", "a b=c", ""),
        (f"x-a=1,{KEY}", "1", "is left out"),
        (f"Bearer {KEY}", None, "is left out"),
        (f"authorization=Bearer {KEY}\nx-a: 1", None, "is left out"),
        (f"x-a=1,authorization=Bearer%20{KEY}%0Ax-b:%201", None, "a header cannot be sent"),
    ],
)
def test_headers_as_people_write_them(
    headers: str,
    sent: str | None,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    told: Callable[[], str],
) -> None:
    """Percent signs, commas, spaces, newlines; OpenTelemetry would log what it cannot read."""
    with Endpoint(always(200)) as endpoint:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", headers)
        lost = export()
        assert [with_.get("x-a") for _, with_ in endpoint.seen] == ([] if lost else [sent])
        assert lost in ({}, {("traces", "bad_header"): 1})
        assert bool(lost) is ("cannot be sent" in said)
    assert said in told()


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}\r\nx: y", f"{KEY} ", f"{KEY}ä", "\x00" + KEY])
def test_a_key_that_is_no_header_is_refused_where_it_is_given(
    key: str, monkeypatch: pytest.MonkeyPatch, told: Callable[[], str]
) -> None:
    """Its setting is named, not its value; what stands around it in a variable does not count."""
    with pytest.raises(ConfigurationError, match="api_key='\\*\\*\\*'"):
        aden.MeterOptions(server_url="https://aden.example.com", api_key=key)
    if "\x00" not in key and key.strip() != KEY:
        monkeypatch.setenv("ADEN_API_URL", "https://aden.example.com")
        monkeypatch.setenv("ADEN_API_KEY", key)
        with pytest.raises(ConfigurationError, match="ADEN_API_KEY='\\*\\*\\*'"):
            aden.instrument(ledger="memory:", budgets=[])
    assert told() == ""


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("aden.example.com", "a URL such as"),
        ("https://", "a URL such as"),
        ("https://[::1", "a URL such as"),
        ("https://host:99999", "a URL such as"),
        ("http://192.0.2.1", "not sent in the clear"),
        ("ws://aden.example.com", "not sent in the clear"),
        (f"ftp://me:{KEY}@aden.example.com", "a URL such as"),
    ],
)
def test_a_server_s_url_that_cannot_work_is_refused_with_the_variable_s_name(
    url: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And without the key."""
    monkeypatch.setenv("ADEN_API_URL", url)
    monkeypatch.setenv("ADEN_API_KEY", KEY)
    with pytest.raises(ConfigurationError, match="ADEN_API_URL=") as refused:
        aden.instrument(ledger="memory:", budgets=[])
    assert allowed in str(refused.value)
    assert KEY not in str(refused.value)


def test_a_key_for_this_machine_does_not_go_to_a_proxy(
    monkeypatch: pytest.MonkeyPatch, told: Callable[[], str]
) -> None:
    """It is sent in the clear there; what OpenTelemetry sends goes where the environment says."""
    with Endpoint(always(200)) as proxy, Endpoint(always(200)) as endpoint:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.url)
        assert export("aden", endpoint.url) == {}
        assert (len(endpoint.seen), proxy.seen) == (1, [])
        assert export() == {}
        assert (len(endpoint.seen), len(proxy.seen)) == (1, 1)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert export() == {}
        assert (len(endpoint.seen), len(proxy.seen)) == (2, 1)
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("HTTP_PROXY", f"http://me:{KEY}@{nobody().partition('//')[2]}")
        assert export() == {("traces", "proxy"): 1}
    assert "NO_PROXY" in told()


def test_an_aden_server_gets_its_own_headers_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither another endpoint's key nor a password of ~/.netrc."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=secret,authorization=other")
    with Endpoint(always(200)) as endpoint:
        assert export("aden", endpoint.url) == {}
        ((_, sent),) = endpoint.seen
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.url)
        assert export() == {}
        assert endpoint.seen[1][1]["authorization"] == "other"
    assert sent["authorization"] == f"Bearer {KEY}"
    assert "x-team" not in sent


def test_a_redirect_is_not_followed(told: Callable[[], str]) -> None:
    """The key would go along."""
    with Endpoint(always(200)) as elsewhere:
        where = f"http://me:{KEY}@127.0.0.1:{elsewhere.url.rpartition(':')[2]}/x?key={KEY}"
        for status in (301, 302, 307, 308):
            with Endpoint(always(status, location=where)) as endpoint:
                assert export("aden", endpoint.url) == {("traces", "redirected"): 1}
        assert elsewhere.seen == []
    assert "name its target" in told()


def test_a_certificate_that_nobody_signed(
    https: str, certificate: Path, monkeypatch: pytest.MonkeyPatch, told: Callable[[], str]
) -> None:
    """Said with the variable that helps, which then helps; SSL_CERT_FILE for an Aden server."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", https)
    assert export() == export("aden", https) == {("traces", "certificate"): 1}
    assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in told()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(certificate))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", ssl.get_default_verify_paths().openssl_cafile)
    assert export() == export("aden", https) == {}
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem")
    assert export() == {("traces", "certificate"): 1}
    assert "/nowhere.pem" in told()
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_CERTIFICATE")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert export("aden", https) == {}


def test_an_endpoint_that_throttles_is_asked_again_when_it_says() -> None:
    """And what it takes then is not lost."""
    answers = [(429, {"Retry-After": "0"}, b""), (503, {"Retry-After": "0"}, b""), (200, {}, b"")]
    with Endpoint(lambda _path, _headers: answers.pop(0)) as endpoint:
        assert export("aden", endpoint.url) == {}
        assert (len(endpoint.seen), answers) == (3, [])


def test_a_protocol_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, told: Callable[[], str]
) -> None:
    """``grpc`` takes a package of its own."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setattr("aden.otel.exporters.entry_points", lambda group: ())
    assert Exporters(Losses(), None, KEY).spans("otlp") is None
    assert "no traces go to otlp_proto_grpc: no exporter of that name is installed" in told()


def test_a_protocol_that_nobody_speaks_is_named_once(
    monkeypatch: pytest.MonkeyPatch, told: Callable[[], str]
) -> None:
    """``http/json`` is in OpenTelemetry's documents, and in none of its Python packages."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    with Endpoint(always(200)) as endpoint:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.url)
        exporters = Exporters(Losses(), None, KEY)
        assert exporters.spans("otlp")
        assert exporters.metrics("otlp")
    assert told().count("OTEL_EXPORTER_OTLP_PROTOCOL='http/json' is none of http/protobuf") == 1


def test_https_to_an_endpoint_that_speaks_none(
    monkeypatch: pytest.MonkeyPatch, told: Callable[[], str]
) -> None:
    """No matter of certificates."""
    with Endpoint(always(200)) as endpoint:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.url.replace("http:", "https:"))
        assert export() == {("traces", "tls"): 1}
    assert "does the endpoint speak https?" in told()


@pytest.fixture
def told(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[[], str]]:
    """What was logged or printed; the key is in none of it, and nothing took long."""
    caplog.set_level(logging.DEBUG)
    began = time.monotonic()
    yield lambda: "\n".join(
        each.getMessage() for each in caplog.records if each.name.startswith("aden")
    )
    printed = capfd.readouterr()
    everything = caplog.text + printed.out + printed.err + json.dumps(caplog.messages)
    assert KEY not in everything
    assert time.monotonic() - began < 20


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 with its key, which nobody has signed."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    named = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    made = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    subprocess.run(
        [*made, *named, "-keyout", str(path), "-out", f"{path}.crt"],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + path.with_name("both.pem.crt").read_text())
    return path


@pytest.fixture
def https(certificate: Path) -> Iterator[str]:
    """An endpoint behind that certificate; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Callers who do not trust it hang up."""

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
