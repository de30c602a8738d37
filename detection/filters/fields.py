"""The fields a filter may name: as EVE and the consoles write them, and where their values lie."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from detection.filters.errors import _


class Kind(Enum):
    TEXT = _("text")
    INTEGER = _("number")
    TIME = _("time")
    ADDRESS = _("address")


class Place(Enum):
    """Where the values lie."""

    SESSION = "session"
    HIT = "rule hits of the session"
    SEGMENT = "segment"
    MODEL = "what a model says"  # virtual: no column carries it
    LOOK = "what makes sessions look alike"  # made of several columns


@dataclass(frozen=True, slots=True)
class Field:
    name: str  # the word we use
    kind: Kind
    column: str  # of the session, of a hit, of the segment
    title: str
    place: Place = Place.SESSION
    also: tuple[str, ...] = ()  # other words for it
    protocol: str = ""  # only sessions of this protocol have it
    values: tuple[str, ...] = ()  # some of them, as they are written


_T, _N, _W, _A = Kind.TEXT, Kind.INTEGER, Kind.TIME, Kind.ADDRESS

FIELDS = (
    Field("start", _W, "start", _("time of the session"), also=("time", "timestamp")),
    Field("protocol", _T, "protocol", _("protocol"), values=("http", "tls")),
    Field("app_proto", _T, "app_proto", _("protocol as the sensor names it"), values=("http", "http2", "tls")),
    Field("src.ip", _A, "src_ip", _("client address"), also=("src_ip",)),
    Field("src.port", _N, "src_port", _("client port"), also=("src_port",)),
    Field("dst.ip", _A, "dst_ip", _("server address"), also=("dst_ip", "dest_ip", "dest.ip")),
    Field("dst.port", _N, "dst_port", _("server port"), also=("dst_port", "dest_port", "dest.port")),
    Field(
        "dst.dns", _T, "host", _("name the client asked for: HTTP host or TLS server name"), also=("dst_dns", "host")
    ),
    Field("dst.geo.org", _T, "dst_org", _("who owns the server's address")),
    Field("http.hostname", _T, "host", _("HTTP host"), also=("http.host",), protocol="http"),
    Field("http.url", _T, "uri", _("request target as sent"), also=("http.uri",)),
    Field("http.url_decoded", _T, "uri_decoded", _("request target, percent-decoded")),
    Field("http.method", _T, "method", _("request method"), also=("http.http_method",)),
    Field("http.status", _N, "status", _("response status")),
    Field("http.user_agent", _T, "user_agent", _("user agent"), also=("http.http_user_agent",)),
    Field("http.referer", _T, "referer", _("referring page"), also=("http.http_refer", "http.referrer")),
    Field("http.version", _T, "http_version", _("HTTP version"), also=("http.protocol",)),
    Field("http.content_type", _T, "content_type", _("response content type"), also=("http.http_content_type",)),
    Field("http.length", _N, "response_bytes", _("bytes of the response body")),
    Field("file.magic", _T, "file_magic", _("what the response file looks like"), also=("fileinfo.magic",)),
    Field("file.bytes", _N, "file_bytes", _("size of the file"), also=("fileinfo.size",)),
    Field("file.sha256", _T, "file_sha256", _("SHA-256 of the file"), also=("fileinfo.sha256",)),
    Field("tls.sni", _T, "host", _("TLS server name"), protocol="tls"),
    Field("tls.version", _T, "tls_version", _("TLS version agreed on")),
    Field("tls.ja3", _T, "ja3", _("JA3 of the client"), also=("tls.ja3.hash",)),
    Field("tls.ja3s", _T, "ja3s", _("JA3S of the server"), also=("tls.ja3s.hash",)),
    Field("tls.ja4", _T, "ja4", _("JA4 of the client")),
    Field("tls.alpn", _T, "alpn", _("application protocols")),
    Field("tls.cipher", _T, "cipher", _("cipher suite agreed on")),
    Field(
        "tls.resumed", _N, "session_resumed", _("1 when an earlier session was resumed"), also=("tls.session_resumed",)
    ),
    Field("tls.subject", _T, "cert_subject", _("subject of the certificate")),
    Field("tls.issuer", _T, "cert_issuer", _("issuer of the certificate"), also=("tls.issuerdn",)),
    Field("tls.serial", _T, "cert_serial", _("serial number of the certificate")),
    Field("tls.sha1", _T, "cert_sha1", _("SHA-1 of the certificate, without colons"), also=("tls.fingerprint",)),
    Field("tls.not_before", _W, "cert_not_before", _("the certificate begins to be valid"), also=("tls.notbefore",)),
    Field("tls.not_after", _W, "cert_not_after", _("the certificate ends to be valid"), also=("tls.notafter",)),
    Field("tls.names", _T, "cert_names", _("names of the certificate"), also=("tls.san",)),
    Field("flow.start", _W, "flow_start", _("start of the flow")),
    Field("flow.end", _W, "flow_end", _("end of the flow")),
    Field("flow.bytes_toserver", _N, "bytes_to_server", _("bytes to the server")),
    Field("flow.bytes_toclient", _N, "bytes_to_client", _("bytes to the client")),
    Field("flow.pkts_toserver", _N, "packets_to_server", _("packets to the server")),
    Field("flow.pkts_toclient", _N, "packets_to_client", _("packets to the client")),
    Field("flow.sessions", _N, "flow_sessions", _("sessions of the flow")),
    Field("flow_id", _N, "flow_id", _("flow number")),
    Field("tx_id", _N, "tx_id", _("transaction number within the flow")),
    Field("community_id", _T, "community_id", _("flow hash shared by tools")),
    Field("uid", _T, "uid", _("connection id of Zeek")),
    Field("capture", _T, "capture", _("capture file the sensor read"), also=("capture_file", "pcap_filename")),
    Field("sensor", _T, "sensor", _("name of the sensor"), Place.SEGMENT),
    Field("rule.sid", _N, "sid", _("number of a rule that hit"), Place.HIT, also=("alert.signature_id",)),
    Field("rule.gid", _N, "gid", _("group of a rule that hit"), Place.HIT, also=("alert.gid",)),
    Field("rule.msg", _T, "signature", _("name of a rule that hit"), Place.HIT, also=("alert.signature",)),
    Field("rule.category", _T, "category", _("category of a rule that hit"), Place.HIT, also=("alert.category",)),
    Field("rule.severity", _N, "severity", _("severity of a hit, 1 is worst"), Place.HIT, also=("alert.severity",)),
    Field(
        "rule.action",
        _T,
        "action",
        _("what the sensor did"),
        Place.HIT,
        also=("alert.action",),
        values=("allowed", "blocked"),
    ),
    Field(
        "look",
        _T,
        "look",
        _("what look-alikes share; a session or item leads to its own"),
        Place.LOOK,
        also=("fingerprint",),
    ),
    Field(
        "alert.msg",
        _T,
        "message",
        _("what rules and models say"),
        Place.MODEL,
        values=("[ML-TEST] Looks like ktalk.exe",),
    ),
    Field("app_service", _T, "service", _("application that a model recognised"), Place.MODEL),
    Field("flags", _T, "flag", _("APP_SERVICE_ML where a model recognised the application"), Place.MODEL),
)
BY_NAME = {word: field for field in FIELDS for word in (field.name, *field.also)}
# they take a name in brackets
MODEL_PARTS = ("score", "verdict", "rules")
FUNCTIONS = {
    "model": _("what a version says: .score, .verdict, .rules"),
    "label": _("what experts said of the session"),
}
