"""How a Redis ledger is opened: its URL, what is refused at once, and what is never shown."""

import contextlib
import logging
import subprocess
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ledger_kit import PATIENT_S, ask, charged, claimed, figures, finished, granted, line, python
from redis_kit import RedisServer, TlsDoor
from test_ledger_settle import RECORD

from aden.errors import ConfigurationError, LedgerError
from aden.ledger import Charge, Settlement, open_ledger, shown_url
from aden.ledger.journal import Keep
from aden.ledger.redis import RedisLedger
from aden.ledger.redis_url import parse

OPENSSL = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
DOCUMENT = Path(__file__).parents[2] / "docs" / "redis.md"
SECRET = "s3cr3t-Pa%2Fss"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[RedisServer]:
    """A server with a password."""
    with RedisServer(tmp_path, "--requirepass", "s3cr3t-Pa/ss") as running:
        yield running


def test_a_redis_ledger_reaches_the_fleet(redis_server: RedisServer) -> None:
    """`redis://` by URL; it satisfies whoever asks for a fleet."""
    url = redis_server.url("opened")
    ledger = open_ledger(url, "fleet")
    assert isinstance(ledger, RedisLedger)
    assert (ledger.url, ledger.reach) == (url, "fleet")
    ledger.close()


def test_what_a_url_says() -> None:
    """Namespace and journal are ours, the rest is the client's."""
    address = parse(
        "rediss://me:pw@example.com:6380/3?namespace=eu-1&journal=5&journal_days=30&ssl_cert_reqs=none"
    )
    assert address.client_url == "rediss://me:pw@example.com:6380/3?ssl_cert_reqs=none"
    assert (address.base, address.keep) == ("{aden:eu-1}", Keep(5, 30 * 86_400.0))
    assert "pw" not in repr(address)
    assert parse("redis://h").base == "{aden:main}"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://", "a host"),
        ("redis://:6379", "a host"),
        ("redis://h:port", "a host and a port"),
        ("redis://h:0", "a host and a port"),
        ("redis://h:99999", "a host and a port"),
        ("redis://h/one", "db is a number"),
        ("redis://h/0/1", "db is a number"),
        ("redis://h/-1", "db is a number"),
        ("redis://h#0", "written %2F"),
        ("redis://:pa/ss@h", "written %2F"),
        ("redis://:pa#ss@h", "written %2F"),
        ("redis://h?namespace=", "letters, digits"),
        ("redis://h?namespace={a}", "letters, digits"),
        ("redis://h?journal=many", "journal is a number"),
        ("redis://h?journal_days=0", "journal_days is a number"),
        ("redis://h?socket_timeout=60", "journal, journal_days, ssl_ca_certs"),
        ("redis://h?ssl_cert_reqs=none", "rediss:// for ssl_cert_reqs"),
        ("rediss://h?ssl_check_hostname=perhaps", "ssl_check_hostname is true | false"),
        ("rediss://h?ssl_cert_reqs=optional", "ssl_cert_reqs is required | none"),
        ("rediss://h?ssl_ca_certs=/nowhere", "ssl_ca_certs is the path of a file"),
    ],
)
def test_a_malformed_url_is_a_wrong_setting(url: str, words: str) -> None:
    """The error names what is allowed."""
    with pytest.raises(ConfigurationError) as caught:
        open_ledger(url)
    assert caught.value.setting == "ledger"
    assert words in str(caught.value)


@pytest.mark.parametrize("options", ["", "?namespace=a", "?password=s3cr3t", "?x=s3cr3t&y="])
@pytest.mark.parametrize("who", ["s3cr3t@", ":s3cr3t@", "me:s3cr3t@", "me:s3/cr3t@x@", ":s3c#r3t@"])
@pytest.mark.parametrize("scheme", ["redis", "rediss", "redi", "http"])
def test_no_secret_is_shown_whatever_is_wrong(scheme: str, who: str, options: str) -> None:
    """Neither in the error nor in a ledger's URL."""
    url = f"{scheme}://{who}h:x/7{options}"
    for text in (shown_url(url), _error_of(url)):
        assert "cr3t" not in text
        assert "r3t" not in text


def _error_of(url: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        open_ledger(url)
    return "".join(traceback.format_exception(caught.value)) + repr(caught.value.value)


def test_a_wrong_password_is_a_wrong_setting(guarded: RedisServer) -> None:
    """Said at once, without the password; so is a missing one."""
    for who in ("", ":s3cr3t-wrong@", "nobody:s3cr3t-wrong@"):
        url = f"redis://{who}127.0.0.1:{guarded.port}"
        with pytest.raises(
            ConfigurationError, match=r"NOAUTH|[Aa]uth|WRONGPASS|password"
        ) as caught:
            open_ledger(url)
        assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


def test_a_database_that_is_not_there_is_a_wrong_setting(redis_server: RedisServer) -> None:
    """Redis has sixteen unless it is told otherwise."""
    with pytest.raises(ConfigurationError, match="index"):
        open_ledger(f"redis://127.0.0.1:{redis_server.port}/99")


def test_a_ledger_of_a_newer_schema_is_a_wrong_setting(redis_server: RedisServer) -> None:
    """Written by an aden that this one does not understand."""
    with redis_server.client() as client:
        client.hset("{aden:newer}", "schema", 7)
    with pytest.raises(ConfigurationError, match="must know 7"):
        open_ledger(redis_server.url("newer"))


def test_a_key_of_another_program_is_a_wrong_setting(redis_server: RedisServer) -> None:
    """Somebody else uses our name."""
    with redis_server.client() as client:
        client.set("{aden:taken}", "mine")
    with pytest.raises(ConfigurationError, match="WRONGTYPE"):
        open_ledger(redis_server.url("taken"))


def test_a_user_who_may_not_run_scripts_is_a_wrong_setting(redis_server: RedisServer) -> None:
    """An ACL without @scripting."""
    with redis_server.client() as client:
        client.acl_setuser(
            "reader", enabled=True, passwords=["+pw"], keys=["*"], commands=["+get", "+ping"]
        )
    with pytest.raises(ConfigurationError, match=r"(?i)permission|NOPERM"):
        open_ledger(f"redis://reader:pw@127.0.0.1:{redis_server.port}")


def test_a_server_that_is_down_is_no_wrong_setting(caplog: pytest.LogCaptureFixture) -> None:
    """The ledger opens, says so, and refuses until the server is there."""
    ledger = open_ledger("redis://:s3cr3t@127.0.0.1:1/0")
    with pytest.raises(LedgerError) as caught:
        ledger.reserve(ask("a", line()))
    ledger.settle(charged("a", 1))
    ledger.close()

    assert "redis://***@127.0.0.1:1/0 is down" in caplog.text
    everything = caplog.text + "".join(traceback.format_exception(caught.value)) + ledger.url
    assert "s3cr3t" not in everything
    assert ledger.url == "redis://***@127.0.0.1:1/0"


def test_no_secret_in_anything_that_is_said(
    guarded: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """From opening over an outage to its end, on all levels."""
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    ledger = RedisLedger(f"redis://:{SECRET}@127.0.0.1:{guarded.port}/0?namespace=quiet")
    granted(ledger.reserve(ask("a", line())))
    guarded.kill()
    for number in range(5):
        with pytest.raises(LedgerError) as caught:
            ledger.reserve(ask(f"{number}", line()))
        said += traceback.format_exception(caught.value)
    ledger.settle(charged("a", 7))
    guarded.start()
    assert ledger.flush(10)
    ledger.close()

    said += [caplog.text, ledger.url, repr(ledger), repr(vars(ledger)), repr(vars(ledger._wire))]
    assert "answers again" in caplog.text
    assert "s3cr3t" not in "".join(said)


def test_without_the_package_the_error_names_the_extra() -> None:
    """And `import aden` and the other ledgers work."""
    program = """
import sys
sys.modules["redis"] = None
from aden.errors import ConfigurationError
from aden.ledger import open_ledger
open_ledger("memory:")
try:
    open_ledger("redis://:s3cr3t@h")
except ConfigurationError as error:
    print(error)
"""
    out = finished(python(program))
    assert "pip install 'aden-py[redis]'" in out
    assert "s3cr3t" not in out


def test_the_package_is_imported_only_for_a_redis_ledger() -> None:
    """Law 13: `import aden` is cheap."""
    program = """
import sys
import aden
from aden.ledger import open_ledger
open_ledger("memory:")
print("redis" in sys.modules, "aden.ledger.redis" in sys.modules)
"""
    assert finished(python(program)).split() == ["False", "False"]


def test_all_scripts_are_legal_in_a_cluster(tmp_path: Path) -> None:
    """Every key of a ledger lies in one slot; a node that has it not is asked where it is."""
    cluster = ("--cluster-enabled", "yes", "--cluster-config-file")
    with RedisServer(tmp_path, *cluster, "1") as one, RedisServer(tmp_path, *cluster, "2") as two:
        _use_a_cluster([one, two])


def _use_a_cluster(nodes: Sequence[RedisServer]) -> None:
    clients: list[Any] = [node.client() for node in nodes]
    slot = clients[0].execute_command("CLUSTER", "KEYSLOT", "{aden:main}")
    for client, wanted in zip(clients, (False, True), strict=True):
        slots = [str(each) for each in range(16_384) if (each == slot) is wanted]
        client.execute_command("CLUSTER", "ADDSLOTS", *slots)
    clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[1].port)
    for client in clients:
        _until_ok(client)

    ledger = RedisLedger(f"redis://127.0.0.1:{nodes[0].port}")
    granted(ledger.reserve(ask("a", line("b", 10), line("c", 10))))
    ledger.mark_sent("a", sent=True)
    ledger.renew({"a": [3, 4]})
    ledger.extend("a", [20, 20])
    assert claimed(ledger, "b", "w", 1)
    ledger.settle(charged("a", 7))
    assert ledger.flush(2)
    assert clients[1].hgetall("{aden:main}:balances")
    ledger.close()
    for client in clients:
        client.close()


def _until_ok(client: Any) -> None:
    for _ in range(500):
        if client.cluster("INFO")["cluster_state"] == "ok":
            return
        time.sleep(0.02)
    pytest.fail("the cluster does not come up")


def test_a_connection_may_be_encrypted(tmp_path: Path, redis_server: RedisServer) -> None:
    """`rediss://`; a certificate that cannot be verified is a wrong setting."""
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    try:
        subprocess.run(
            [*OPENSSL, "-keyout", str(key), "-out", str(certificate), *subject],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    with contextlib.closing(TlsDoor(redis_server.port, certificate, key)) as door:
        _use_tls(f"rediss://127.0.0.1:{door.port}", certificate)


def _use_tls(place: str, certificate: Path) -> None:
    with pytest.raises(ConfigurationError, match="CERTIFICATE_VERIFY_FAILED"):
        open_ledger(place)

    for options in (f"ssl_ca_certs={certificate}", "ssl_cert_reqs=none"):
        url = f"{place}?{options}&ssl_check_hostname=false&namespace=tls"
        ledger = RedisLedger(url, deadline_s=PATIENT_S)
        granted(ledger.reserve(ask("a", line())))
        ledger.close()


def _documented_user(server: RedisServer) -> str:
    """The ledger's URL for the user that docs/redis.md sets up, here on another namespace."""
    lines = DOCUMENT.read_text().splitlines()
    (rule,) = [each.strip() for each in lines if each.strip().startswith("ACL SETUSER")]
    words = rule.replace("{aden:main}", "{aden:acl}").split()
    with server.client() as client:
        whole: Any = client
        whole.execute_command(*words)
    return f"redis://{words[2]}:{words[4][1:]}@127.0.0.1:{server.port}?namespace=acl"


def test_a_user_needs_no_more_than_the_documentation_says(redis_server: RedisServer) -> None:
    """The commands of docs/redis.md, on the keys of one namespace."""
    ledger = RedisLedger(_documented_user(redis_server))
    granted(ledger.reserve(ask("a", line("b", 10))))
    ledger.mark_sent("a", sent=True)
    ledger.renew({"a": [3]})
    ledger.extend("a", [20])
    assert ledger.open_holds() == 1
    assert claimed(ledger, "b", "w", 1)
    ledger.settle(Settlement("a", (Charge("b", "total", 7),), RECORD, ("m", 9)))
    assert ledger.flush(2)
    assert len(list(ledger.journal())) == 1
    assert figures(ledger) == (7, 0, 0)
    ledger.close()


def test_a_server_that_throws_keys_away_is_pointed_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A budget that is evicted is a budget that begins anew."""
    arguments = ("--maxmemory", "100mb", "--maxmemory-policy")
    with RedisServer(tmp_path, *arguments, "allkeys-lru") as server:
        RedisLedger(server.url()).close()
        assert "maxmemory-policy noeviction" in caplog.text
        caplog.clear()
        RedisLedger(_documented_user(server)).close()
        assert "maxmemory-policy noeviction" in caplog.text
    caplog.clear()
    with RedisServer(tmp_path, *arguments, "noeviction") as server:
        RedisLedger(server.url()).close()
    assert not caplog.records
