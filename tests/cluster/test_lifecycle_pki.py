"""Certificates, keys and kubeconfigs: names, modes, renewal, and that no key or token is ever logged."""

from __future__ import annotations

import base64
import datetime
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import Cluster, cluster, run
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from knarr.cluster import pki
from knarr.cluster.config import Config
from knarr.cluster.prepare import certificates_current, prepare
from knarr.cluster.refusal import Refusal

ADDRESS = "127.77.0.43"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("pki"), ADDRESS, "hollow", "--tls-san", "api.example") as running:
        yield running


def served(made: Cluster) -> x509.Certificate:
    """The certificate that a client is shown."""
    done = run("openssl", "s_client", "-connect", f"{ADDRESS}:{made.port}", "-CAfile", made.data_dir / "pki/ca.crt")
    text = done.out[done.out.index("-----BEGIN") : done.out.index("-----END CERTIFICATE-----") + 25]
    assert "Verify return code: 0 (ok)" in done.out
    return x509.load_pem_x509_certificate(text.encode())


def names(certificate: x509.Certificate) -> set[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in found}


def test_the_serving_certificate_has_the_names_that_clients_use(made: Cluster) -> None:
    assert names(served(made)) == {
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "node-1",
        ADDRESS,
        "127.0.0.1",
        "10.96.0.1",
        "api.example",
    }


def test_another_name_makes_another_leaf_of_the_same_authority(made: Cluster) -> None:
    authority, leaf = (made.data_dir / "pki" / "ca.crt").read_bytes(), served(made)
    admin = made.kubeconfig.read_bytes()
    made.ok("create", "configmap", "kept", "--from-literal=a=b")
    assert made.down().code == 0
    # the same settings: the same certificate
    assert made.up().code == 0
    assert served(made) == leaf
    assert made.down().code == 0
    done = run(*start(made), "--tls-san", "api.example", "--tls-san", "203.0.113.9")
    assert done.code == 0, done.err
    assert (made.data_dir / "pki" / "ca.crt").read_bytes() == authority
    assert served(made) != leaf and {"api.example", "203.0.113.9"} <= names(served(made))
    assert made.kubeconfig.read_bytes() == admin, "clients keep what they have"
    assert made.json("get", "configmap", "kept")["data"] == {"a": "b"}


def start(made: Cluster) -> tuple[str | Path, ...]:
    from clusters import KNARR

    return (KNARR, "up", "--detach", "--data-dir", made.data_dir)


def test_files_with_keys_are_the_owners_alone(made: Cluster) -> None:
    keys = [path for path in made.data_dir.rglob("*") if path.is_file() and b"PRIVATE KEY" in decoded(path)]
    assert {"ca.key", "sa.key", "apiserver.key", "kubelet.key", "admin.conf", "agent.conf", "proxy.conf"} <= {
        path.name for path in keys
    }
    for path in keys:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(made.data_dir.stat().st_mode) == 0o700


def decoded(path: Path) -> bytes:
    """A file's content, with what a kubeconfig embeds."""
    data = path.read_bytes()
    return data + b"".join(base64.b64decode(text) for text in re.findall(rb"client-key-data: (\S+)", data))


def test_no_key_or_token_reaches_a_log(made: Cluster) -> None:
    token = made.ok("create", "token", "default").strip()
    assert token.count(".") == 2
    made.ok("create", "secret", "generic", "hush", "--from-literal=word=open-sesame")
    code, _ = made.http("GET", "/api/v1/pods", user=None, headers={"Authorization": f"Bearer {token}"})
    assert code == 403
    code, _ = made.http("GET", "/api/v1/pods", user=None, headers={"Authorization": "Bearer not.a.token"})
    assert code == 401
    made.http("POST", "/api/v1/namespaces/default/secrets", b'{"stringData": {"word": "open-sesame"')
    logs = {path.name: path.read_text(errors="replace") for path in (made.data_dir / "logs").iterdir()}
    assert {"server.log", "controllers.log", "agent.log", "supervisor.log"} <= set(logs)
    secrets = [token, token.split(".")[2], "open-sesame", base64.b64encode(b"open-sesame").decode(), "not.a.token"]
    for key in (made.data_dir / "pki").glob("*.key"):
        secrets += [line for line in key.read_text().splitlines() if "-----" not in line]
    for name, text in logs.items():
        assert text or name == "supervisor.log"
        for secret in secrets:
            assert secret not in text, (name, secret)


# Renewal, without a cluster: what `up` calls before anything starts


@pytest.fixture
def config(tmp_path: Path) -> Config:
    made = Config(data_dir=str(tmp_path / "data"), node_name="n", node_ip="192.0.2.1")
    prepare(made)
    return made


def leaf(config: Config, name: str = "apiserver") -> Path:
    return config.paths.pki / f"{name}.crt"


def test_a_stale_leaf_is_renewed_at_start(config: Config) -> None:
    assert certificates_current(config)
    authority, key = (config.paths.pki / "ca.crt").read_bytes(), (config.paths.pki / "sa.key").read_bytes()
    old = x509.load_pem_x509_certificate(leaf(config).read_bytes())
    authority_key = pki.read_key(config.paths.pki / "ca.key")
    now = datetime.datetime.now(datetime.UTC)
    stale = (
        x509.CertificateBuilder(
            issuer_name=old.issuer,
            subject_name=old.subject,
            public_key=old.public_key(),
            serial_number=7,
            extensions=list(old.extensions),
        )
        .not_valid_before(now - datetime.timedelta(days=300))
        .not_valid_after(now + datetime.timedelta(days=65))
        .sign(authority_key, hashes.SHA256())
    )
    from cryptography.hazmat.primitives.serialization import Encoding

    leaf(config).write_bytes(stale.public_bytes(Encoding.PEM))
    others = {name: leaf(config, name).read_bytes() for name in ("admin", "agent", "kubelet")}
    assert not certificates_current(config)
    prepare(config)
    renewed = x509.load_pem_x509_certificate(leaf(config).read_bytes())
    assert renewed.not_valid_after_utc - now > datetime.timedelta(days=300)
    assert {name: leaf(config, name).read_bytes() for name in others} == others
    assert (config.paths.pki / "ca.crt").read_bytes() == authority
    assert (config.paths.pki / "sa.key").read_bytes() == key
    renewed.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))


def test_certificates_that_begin_later_are_seen(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock was ahead when they were made: nobody would accept them before their time. A leaf is made again, the
    authority refused."""

    def begins_later(name: str) -> bool:
        now = datetime.datetime.now(datetime.UTC)
        return x509.load_pem_x509_certificate(leaf(config, name).read_bytes()).not_valid_before_utc > now

    ahead = -datetime.timedelta(days=2)
    leaf(config).unlink()
    with monkeypatch.context() as patched:
        patched.setattr(pki, "CLOCK_SKEW", ahead)
        pki.ensure(config)
    assert begins_later("apiserver")
    prepare(config)
    assert not begins_later("apiserver")

    for name in ("ca.crt", "ca.key"):
        (config.paths.pki / name).unlink()
    with monkeypatch.context() as patched:
        patched.setattr(pki, "CLOCK_SKEW", ahead)
        pki.ensure_authority(config.paths.pki)
    with pytest.raises(Refusal, match=r"begins on .*, this machine's clock says") as raised:
        prepare(config)
    assert "set the clock" in raised.value.hint


@pytest.mark.parametrize("name", ["apiserver.crt", "apiserver.key", "agent.crt", "kubelet.key", "sa.pub"])
@pytest.mark.parametrize("how", ["damaged", "missing", "another"])
def test_what_can_be_made_again_is(config: Config, name: str, how: str) -> None:
    path = config.paths.pki / name
    kept = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        other = config.paths.pki / ("admin.key" if name.endswith("key") else "admin.crt")
        path.write_bytes(other.read_bytes() if how == "another" else b"-----BEGIN nothing")
    assert not certificates_current(config)
    prepare(config)
    assert certificates_current(config)
    if name == "sa.pub":
        assert path.read_bytes() == kept
        return
    certificate, key = path.with_suffix(".crt"), path.with_suffix(".key")
    assert pki.read_certificate(certificate).public_key() == pki.read_key(key).public_key()
    common = pki.read_certificate(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    assert common == {"apiserver": "kube-apiserver"}.get(path.stem, "system:node:n")


def test_another_address_makes_other_kubeconfigs(config: Config) -> None:
    import dataclasses

    before = (config.paths.pki / "ca.crt").read_bytes()
    moved = dataclasses.replace(config, node_ip="192.0.2.2")
    assert not certificates_current(moved)
    prepare(moved)
    assert "https://192.0.2.2:6443" in moved.paths.admin_kubeconfig.read_text()
    assert "192.0.2.2" in names(pki.read_certificate(leaf(moved)))
    assert "192.0.2.2" in names(pki.read_certificate(leaf(moved, "kubelet")))
    assert (moved.paths.pki / "ca.crt").read_bytes() == before
