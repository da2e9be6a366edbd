"""The cluster's certificates: one authority made at the first start, and the leaves that it signs.

Keys are ECDSA P-256; files with keys are mode 0600. A leaf is made again when it is missing, when a name it must carry
is not in it, when the authority is another, or when a third of its life is left; the authority and the key that signs
ServiceAccount tokens are never replaced, because everything that was handed out depends on them. Source: Kubernetes'
"PKI certificates and requirements" for the subjects.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from knarr.cluster.config import Config, write_private
from knarr.cluster.refusal import Refusal

AUTHORITY_DAYS = 3650
LEAF_DAYS = 365
PUT_BACK = "put it back, or delete the cluster with `knarr down --purge` and begin anew"
CLOCK_SKEW = datetime.timedelta(minutes=5)  # another machine's clock may be behind this one's


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate that the cluster needs. names: DNS names and addresses it serves under; empty for a client only."""

    file: str
    common_name: str
    organization: str | None = None
    names: tuple[str, ...] = ()

    @property
    def usages(self) -> list[x509.ObjectIdentifier]:
        return [ExtendedKeyUsageOID.SERVER_AUTH] if self.names else [ExtendedKeyUsageOID.CLIENT_AUTH]


def leaves(config: Config) -> list[Leaf]:
    """Every leaf of a one-machine cluster."""
    serving = (
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        config.node_name,
        config.node_ip,
        "127.0.0.1",
        config.service_address(1),
        *config.tls_san,
    )
    return [
        Leaf("apiserver", "kube-apiserver", names=tuple(dict.fromkeys(serving))),
        Leaf("kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
        Leaf("admin", "kubernetes-admin", "system:masters"),
        Leaf("controllers", "system:kube-controller-manager"),
        Leaf("proxy", "system:kube-proxy"),
        Leaf("agent", f"system:node:{config.node_name}", "system:nodes"),
        Leaf("kubelet", f"system:node:{config.node_name}", "system:nodes", (config.node_name, config.node_ip)),
    ]


def ensure(config: Config) -> None:
    """Make what is missing or stale of the cluster's certificates, keys and kubeconfigs. Idempotent."""
    folder = config.paths.pki
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority, authority_key = ensure_authority(folder)
    ensure_token_key(folder)
    for leaf in leaves(config):
        ensure_leaf(folder, leaf, authority, authority_key)
    write_kubeconfig(config, config.paths.admin_kubeconfig, "admin", "kubernetes-admin")
    for role in ("controllers", "agent", "proxy"):
        write_kubeconfig(config, config.paths.kubeconfig(role), role, role)
    if config.kubeconfig:
        write_kubeconfig(config, Path(config.kubeconfig), "admin", "kubernetes-admin")


def ensure_authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate, key = folder / "ca.crt", folder / "ca.key"
    if certificate.exists() and key.exists():
        found, found_key = read_certificate(certificate), read_key(key)
        if found.public_key() != found_key.public_key():
            raise Refusal(f"{key} is not the key of {certificate}", PUT_BACK)
        now = datetime.datetime.now(datetime.UTC)
        if found.not_valid_before_utc > now:
            raise Refusal(
                f"{certificate} begins on {found.not_valid_before_utc:%Y-%m-%d %H:%M}, this machine's clock says"
                f" {now:%Y-%m-%d %H:%M}",
                "set the clock; where it was wrong when the cluster was made, begin anew with `knarr down --purge`",
            )
        if found.not_valid_after_utc <= now:
            raise Refusal(f"{certificate} ended on {found.not_valid_after_utc:%Y-%m-%d}", PUT_BACK)
        return found, found_key
    if certificate.exists() or key.exists():
        missing = key if certificate.exists() else certificate
        raise Refusal(f"{missing} is missing beside its pair", PUT_BACK)
    refuse_beginning_anew(folder, certificate)
    made_key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    now = datetime.datetime.now(datetime.UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(made_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + datetime.timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(made_key.public_key()), critical=False)
        .sign(made_key, hashes.SHA256())
    )
    write_private(key, pem_of_key(made_key))
    write_private(certificate, made.public_bytes(serialization.Encoding.PEM))
    return made, made_key


def refuse_beginning_anew(folder: Path, missing: Path) -> None:
    """Where there is data already, nothing that was handed out would be believed any more. Raises Refusal."""
    if (folder.parent / "store").exists():
        raise Refusal(f"{missing} is missing", PUT_BACK)


def ensure_token_key(folder: Path) -> None:
    """The key pair that signs and verifies ServiceAccount tokens."""
    private, public = folder / "sa.key", folder / "sa.pub"
    if private.exists():
        key = read_key(private)
    else:
        refuse_beginning_anew(folder, private)
        key = ec.generate_private_key(ec.SECP256R1())
        write_private(private, pem_of_key(key))
    text = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    if not public.exists() or public.read_bytes() != text:
        write_private(public, text)


def ensure_leaf(
    folder: Path, leaf: Leaf, authority: x509.Certificate, authority_key: ec.EllipticCurvePrivateKey
) -> None:
    certificate, key = folder / f"{leaf.file}.crt", folder / f"{leaf.file}.key"
    if certificate.exists() and key.exists():
        try:
            if fits(read_certificate(certificate), read_key(key), leaf, authority):
                return
        except Refusal:
            pass  # a damaged leaf is as good as a missing one: nothing that was handed out depends on it
    made_key = ec.generate_private_key(ec.SECP256R1())
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, leaf.common_name)]
    if leaf.organization:
        subject.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, leaf.organization))
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(subject))
        .issuer_name(authority.subject)
        .public_key(made_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + datetime.timedelta(days=LEAF_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(leaf.usages), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
    )
    if leaf.names:
        builder = builder.add_extension(x509.SubjectAlternativeName(general_names(leaf.names)), critical=False)
    made = builder.sign(authority_key, hashes.SHA256())
    write_private(key, pem_of_key(made_key))
    write_private(certificate, made.public_bytes(serialization.Encoding.PEM))


def fits(
    certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, leaf: Leaf, authority: x509.Certificate
) -> bool:
    """Whether a certificate is still what `leaf` asks for, of this key, from this authority, with more than a third of
    its life left."""
    now = datetime.datetime.now(datetime.UTC)
    if certificate.public_key() != key.public_key():
        return False
    if certificate.not_valid_before_utc > now:  # made by a clock that was wrong then
        return False
    if certificate.not_valid_after_utc - now < datetime.timedelta(days=LEAF_DAYS) / 3:
        return False
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    if [a.value for a in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] != [leaf.common_name]:
        return False
    if not leaf.names:
        return True
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return False
    return set(general_names(leaf.names)) <= set(extension.value)


def general_names(names: Iterable[str]) -> list[x509.GeneralName]:
    made: list[x509.GeneralName] = []
    for name in names:
        try:
            made.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            made.append(x509.DNSName(name))
    return made


def write_kubeconfig(config: Config, path: Path, file: str, user: str) -> None:
    """A kubeconfig that carries its certificates in it, so that it can be copied alone."""
    folder = config.paths.pki

    def embedded(name: str) -> str:
        return base64.b64encode((folder / name).read_bytes()).decode()

    text = f"""apiVersion: v1
kind: Config
clusters:
- name: knarr
  cluster:
    server: {config.server_url}
    certificate-authority-data: {embedded("ca.crt")}
users:
- name: {user}
  user:
    client-certificate-data: {embedded(f"{file}.crt")}
    client-key-data: {embedded(f"{file}.key")}
contexts:
- name: knarr
  context:
    cluster: knarr
    user: {user}
current-context: knarr
""".encode()
    try:
        if not path.exists() or path.read_bytes() != text:
            write_private(path, text)
    except OSError as cause:
        raise Refusal(f"{path} cannot be written: {cause.strerror}", "name another file with --kubeconfig") from None


def read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError:
        raise Refusal(f"{path} is damaged: no certificate", PUT_BACK) from None


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except ValueError:
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Refusal(f"{path} is damaged: no ECDSA key", PUT_BACK)
    return key


def pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
