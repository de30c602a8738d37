"""Small functions that make what a test needs: `make_*` with sensible defaults, every field open to the caller."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from django.db import transaction
from django.utils import timezone

from accounts.models import Token, User
from accounts.roles import Role
from accounts.services import tokens
from detection import clock, tables
from detection.reference import row_digest
from detection.rules import RuleMapping
from detection.sessions import COLUMN_NAMES
from detection.ship_queries import Terms
from jobs.models import Job
from labeling.models import (
    BulkVerdict,
    Contradiction,
    Dispute,
    HuntProposal,
    HuntSend,
    Item,
    ItemRecord,
    Label,
    ProofDraw,
    ProofItem,
    Queue,
    ReferenceImport,
    ReferenceProposal,
    ReferenceRow,
    SavedHunt,
    SavedQueue,
    Suggestion,
)
from labeling.services import complaints as complaint_items
from labeling.services.queues import move
from models_registry.models import (
    Bundle,
    BundleEntry,
    Customer,
    Detector,
    DetectorProposal,
    DiffGroup,
    GateReport,
    IndicatorList,
    LedgerEntry,
    LedgerKind,
    Rollback,
    RuleMappingVersion,
    ScoreFile,
    ShipQuery,
    ShipQueryProposal,
    Snapshot,
    StageChange,
    StageProposal,
    ThresholdDecision,
    ThresholdProposal,
    TrainingSet,
    VerdictDiff,
    Version,
)
from models_registry.services import ledger
from traffic import storage
from traffic.models import Intake, RuleSet, Segment, Sensor
from triage.models import (
    Announcement,
    Attachment,
    Complaint,
    ComplaintState,
    Deadline,
    Delivery,
    Entity,
    Organisation,
    Serving,
    Subscription,
)
from triage.services import deadlines
from triage.services.risk import organisations, scores
from triage.services.risk.scores import Told

_number = itertools.count(1)
PASSWORD = "correct horse battery"
SOME_TIME = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def digest() -> str:
    """Return 64 hex digits that no other call returned."""
    return f"{next(_number):064x}"


def make_user(role: Role = Role.EXPERT, **fields: Any) -> User:
    password = fields.pop("password", PASSWORD)
    serves_all = fields.pop("serves_all", role == Role.SUPPORT)
    user = User(username=fields.pop("username", f"{Role(role).value}{next(_number)}"), role=role, **fields)
    user.set_password(password)
    user.save()
    if serves_all:
        Serving.objects.create(user=user, customer=None)
    return user


def make_job(**fields: Any) -> Job:
    defaults = {"kind": "retrain", "run_key": f"retrain {next(_number)}", "task": "jobs.none", "queue": "training"}
    return Job.objects.create(**defaults | fields)


def make_upload(**fields: Any) -> Job:
    """Return the job of an uploaded file; the file does not exist."""
    arguments = {"path": "uploads/none", "name": "eve.json", "sensor": "office", "size": 10}
    return make_job(**{"kind": "upload", "task": "traffic.tasks.ingest_upload", "arguments": arguments} | fields)


def make_token(kind: Token.Kind = Token.Kind.SENSOR, name: str = "office", **fields: Any) -> tuple[Token, str]:
    """Return a machine's token with its secret."""
    token, secret = tokens.make_token(kind, name)
    Token.objects.filter(pk=token.pk).update(**fields)
    return Token.objects.get(pk=token.pk), secret


def make_organisation(name: str = "") -> Organisation:
    return organisations.make(name or f"acme-{next(_number)}")


def make_entity(name: str = "gerrard") -> Entity:
    organisation = make_organisation()
    scores.take_in(organisation, [Told(name, "new city", timezone.now(), 80.0)], "models")
    return Entity.objects.get(organisation=organisation, name=name)


def make_rule_set(**fields: Any) -> RuleSet:
    return RuleSet.objects.create(**{"digest": digest(), "name": "et-open", "rules": 26694} | fields)


def make_sensor(**fields: Any) -> Sensor:
    return Sensor.objects.create(**{"name": f"core-{next(_number)}"} | fields)


def make_intake(**fields: Any) -> Intake:
    fields.setdefault("sensor", fields.get("sensor") or make_sensor())
    return Intake.objects.create(**{"digest": digest(), "path": "eve.json", "lines": 10, "http": 8} | fields)


def make_segment(**fields: Any) -> Segment:
    """Return the row of a segment; its files do not exist."""
    name = f"segments/{next(_number)}"
    defaults = {
        "sensor": fields.get("sensor") or make_sensor(),
        "source": "office",
        "sessions_path": f"{name}.sessions.parquet",
        "raw_path": f"{name}.raw.parquet",
        "digest": digest(),
        "rows": 100,
        "first_at": SOME_TIME,
        "last_at": SOME_TIME,
        "sealed_at": SOME_TIME,
    }
    return Segment.objects.create(**defaults | fields)


def make_stored_segment(rows: Sequence[Mapping[str, Any]], **fields: Any) -> Segment:
    """Return a sealed segment with its files; `rows` as `make_row` makes them."""
    columns = {name: [row[name] for row in rows] for name in COLUMN_NAMES}
    starts = columns["start"]
    raw = [orjson.dumps(make_raw(dict(row))) for row in rows]
    span = {"first_at": _moment(min(starts)), "last_at": _moment(max(starts))}
    segment = make_segment(**{"rows": len(rows), "protocol": rows[0]["protocol"], **span} | fields)
    table = tables.session_table(columns, segment_id=segment.pk)
    Segment.objects.filter(pk=segment.pk).update(
        digest=storage.put_table(segment.sessions_path, table, **tables.SESSION_OPTIONS)
    )
    storage.put_table(segment.raw_path, tables.raw_table(raw), **tables.RAW_OPTIONS)
    segment.refresh_from_db()
    return segment


def _moment(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def make_detector(**fields: Any) -> Detector:
    """Return a detector with a first rule mapping."""
    detector = Detector.objects.create(**{"name": f"http-attacks-{next(_number)}"} | fields)
    RuleMappingVersion.objects.create(detector=detector, number=1, mapping={"categories": ["Attack"]}, digest=digest())
    return detector


def put_rules_in_force(detector: Detector, **rules: Any) -> RuleMappingVersion:
    """Give a detector another rule mapping, as two people would."""
    mapping = RuleMapping.from_dict(rules)
    number = detector.mapping.number + 1
    return detector.mappings.create(number=number, mapping=mapping.to_dict(), digest=mapping.digest)


def make_change(**fields: Any) -> DetectorProposal:
    """Return an engineer's proposal of another price."""
    detector = fields.get("detector") or make_detector()
    by = fields.get("by") or make_user(Role.ENGINEER)
    after = detector.mapping
    defaults = {"detector": detector, "after": after, "mapping": after.mapping, "digest": after.digest, "by": by}
    costs = {"old_cost": detector.false_positive_cost, "new_cost": 20.0, "role": by.role}
    return DetectorProposal.objects.create(**defaults | costs | fields)


TERMS = {"filter": 'dst.dns == "shop.example"', "ceilings": {"sessions": 0, "hosts": 0}}


def make_ship_query_change(**fields: Any) -> ShipQueryProposal:
    """Return an engineer's proposal of a ship query that waits."""
    by = fields.get("by") or make_user(Role.ENGINEER)
    detector = fields.get("detector") or make_detector()
    terms = Terms.of(TERMS)
    defaults = {"detector": detector, "name": "elsewhere", "terms": terms.to_dict(), "digest": terms.digest}
    return ShipQueryProposal.objects.create(**defaults | {"by": by, "role": by.role} | fields)


def make_ship_query(**fields: Any) -> ShipQuery:
    """Return a ship query that two people put in force."""
    people = {"made_by": make_user(Role.ENGINEER), "approved_by": make_user(Role.SENIOR)}
    terms = Terms.of(fields.pop("terms", TERMS))
    defaults = {"name": "elsewhere", "number": 1, "terms": terms.to_dict(), "digest": terms.digest}
    detector = fields.pop("detector", None) or make_detector()
    return ShipQuery.objects.create(detector=detector, **defaults | people | fields)


def make_verdict_diff(**fields: Any) -> VerdictDiff:
    """Return a diff of two versions with one group, of a session that does not exist."""
    version = fields.pop("version", None) or make_version()
    against = fields.pop("against", None) or make_version(detector=version.detector)
    defaults = {"threshold": version.threshold, "against_threshold": against.threshold, "since": SOME_TIME}
    figures = {"gained": 3, "gained_hosts": 2, "lost": 0, "lost_hosts": 0, "until": SOME_TIME, "digest": digest()}
    asked = {"gained_asked": "dst.port == 443", "lost_asked": "dst.port == 80"}
    diff = VerdictDiff.objects.create(version=version, against=against, **defaults | figures | asked | fields)
    DiffGroup.objects.create(diff=diff, direction="gained", shape="ab" * 32, title="GET shop.example/", sessions=3,
                             hosts=2, rules_hit=0, score=0.9, against_score=0.1, rids=[1 << 32])  # fmt: skip
    return diff


def make_threshold_proposal(**fields: Any) -> ThresholdProposal:
    """Return an engineer's proposal of a threshold that waits."""
    version = fields.get("version") or make_version()
    by = fields.get("by") or make_user(Role.ENGINEER)
    defaults = {"version": version, "threshold": 0.8, "false_positive_cost": 10.0, "miss_cost": 1.0, "figures": {}}
    return ThresholdProposal.objects.create(**defaults | {"by": by, "role": by.role} | fields)


def agree_on(version: Version, threshold: float) -> ThresholdProposal:
    """Let two people have agreed that a version may speak at a threshold."""
    asked, senior = make_threshold_proposal(version=version, threshold=threshold), make_user(Role.SENIOR)
    ThresholdDecision.objects.create(proposal=asked, outcome="approved", by=senior, role=senior.role)
    return asked


def make_training_set(**fields: Any) -> TrainingSet:
    number = next(_number)
    defaults = {"number": number, "digest": digest(), "path": f"training/{number}", "rows": 100}
    return TrainingSet.objects.create(**{"detector": fields.get("detector") or make_detector()} | defaults | fields)


def make_snapshot(**fields: Any) -> Snapshot:
    number = next(_number)
    defaults = {"number": number, "digest": digest(), "path": f"snapshots/{number}", "rows": 0}
    return Snapshot.objects.create(**{"detector": fields.get("detector") or make_detector()} | defaults | fields)


def make_version(**fields: Any) -> Version:
    """Return the row of a version; its files do not exist."""
    detector = fields.get("detector") or make_detector()
    number = fields.get("number") or detector.versions.count() + 1
    defaults = {
        "detector": detector,
        "number": number,
        "training_set": fields.get("training_set") or make_training_set(detector=detector),
        "contract": "http-1",
        "onnx_path": f"versions/{detector.name}-{number}.onnx",
        "onnx_digest": digest(),
        "text_path": f"versions/{detector.name}-{number}.txt",
        "text_digest": digest(),
        "threshold": 0.7,
        "stage": "silent",
    }
    return Version.objects.create(**defaults | fields)


def make_score_file(**fields: Any) -> ScoreFile:
    version = fields.get("version") or make_version()
    defaults = {
        "version": version,
        "segment": fields.get("segment") or make_segment(),
        "mapping": version.detector.mapping,
        "threshold": version.threshold,
        "path": f"scores/{next(_number)}.parquet",
        "digest": digest(),
        "rows": 100,
    }
    return ScoreFile.objects.create(**defaults | fields)


def make_queue(**fields: Any) -> Queue:
    detector = fields.get("detector") or make_detector()
    return Queue.objects.create(**{"detector": detector, "slug": f"{detector.name}-unique"} | fields)


def make_saved_queue(**fields: Any) -> SavedQueue:
    owner = fields.pop("owner", None) or make_user(Role.EXPERT)
    return SavedQueue.objects.create(
        **{"owner": owner, "queue": fields.pop("queue", None) or make_queue(), "name": f"mine {next(_number)}"} | fields
    )


def make_saved_hunt(**fields: Any) -> SavedHunt:
    owner = fields.pop("owner", None) or make_user(Role.EXPERT)
    return SavedHunt.objects.create(
        **{"owner": owner, "name": f"hunt {next(_number)}", "text": "dst.port == 80"} | fields
    )


def make_hunt_send(**fields: Any) -> HuntSend:
    """Return what an expert sent, and its job has not made yet."""
    queue = fields.get("queue") or make_queue()
    defaults = {"queue": queue, "detector": queue.detector, "by": fields.get("by") or make_user(), "note": "drill",
                "until": timezone.now(), "preview": {"fresh": 2, "sessions": 3, "hosts": 1, "looks": 2},
                "job": make_job(kind="send a hunt to a queue")}  # fmt: skip
    return HuntSend.objects.create(**defaults | fields)


def make_item(**fields: Any) -> Item:
    """Return an open item with its record."""
    record = {"row": "{}", "raw": "{}"} | fields.pop("record", {})
    queue = fields.get("queue") or make_queue()
    number = next(_number)
    defaults = {
        "queue": queue,
        "detector": queue.detector,
        "version": fields.get("version") or make_version(detector=queue.detector),
        "subject_key": f"core-1|{number}|0|{number}",
        "cell": "unique",
        "shape": f"{number:032x}",
        "fingerprint": digest(),
        "title": f"GET intranet.example/cgi-bin/{number}",
        "reason": "unique-candidate",
        "sensor": "core-1",
        "source": "office",
        "first_at": SOME_TIME,
        "last_at": SOME_TIME,
    }
    item = Item.objects.create(**defaults | fields)
    move(queue.pk, None, item.state)
    queue.refresh_from_db(fields=["waiting", "conflicts"])
    ItemRecord.objects.create(item=item, **record)
    return item


def make_label(**fields: Any) -> Label:
    item = fields.get("item") or make_item()
    people = {"item": item, "detector": item.detector, "expert": fields.get("expert") or make_user()}
    subject = {"subject_kind": item.subject_kind, "subject_key": item.subject_key}
    return Label.objects.create(**{"answer": "positive"} | people | subject | fields)


def make_bulk_verdict(**fields: Any) -> BulkVerdict:
    """Return an expert's bulk verdict that waits for its job."""
    defaults = {"answer": "negative", "note": "drill", "preview": {"items": 2}, "items": [1, 2]}
    people = {"queue": fields.get("queue") or make_queue(), "by": fields.get("by") or make_user()}
    return BulkVerdict.objects.create(**defaults | people | {"job": make_job(kind="bulk verdict")} | fields)


def make_proof_item(queue: Queue | None = None, row: dict[str, Any] | None = None, **fields: Any) -> Item:
    """Return an open item that was drawn to prove a version."""
    row = row or make_row()
    queue = queue or make_queue(kind=Queue.Kind.PROOF, slug=f"drawn-{next(_number)}")
    version = fields.get("version") or make_version(detector=queue.detector)
    proof = {"probability": fields.pop("probability", 1.0), "host": row["src_ip"], "domain": row["host"]}
    stratum = fields.pop("stratum", "")
    policy = {"version": 1, "target": 50, "second_share": 0.2}
    item = make_session_item(queue, row, **{"version": version, "reason": "proof", "labels_needed": 1} | fields)
    draw = ProofDraw.objects.create(
        version=version,
        score_file=make_score_file(version=version),
        day=SOME_TIME.date(),
        stratum=stratum,
        sessions=1,
        expected=1,
        probability=proof["probability"],
        drawn=1,
        policy=policy,
    )
    ProofItem.objects.create(item=item, draw=draw, version=version, **proof)
    return item


START = 1_772_366_400_000_000  # 2026-03-01 12:00 UTC


def make_row(**fields: Any) -> dict[str, Any]:
    """Return a whole session row."""
    return (
        dict.fromkeys(COLUMN_NAMES)
        | {
            "start": START,
            "flow_id": 1,
            "tx_id": 0,
            "protocol": "http",
            "app_proto": "http",
            "src_ip": "10.1.4.22",
            "src_port": 49152,
            "dst_ip": "10.9.0.5",
            "dst_port": 80,
            "community_id": "1:abc",
            "host": "intranet.example",
            "method": "GET",
            "uri": "/cgi-bin/x.sh?id=1%27%20or%201=1--",
            "uri_decoded": "/cgi-bin/x.sh?id=1' or 1=1--",
            "user_agent": "curl/8.4.0",
            "referer": None,
            "http_version": "HTTP/1.1",
            "status": 200,
            "content_type": "text/html",
            "response_bytes": 1532,
            "flow_start": START - 48_000,
            "flow_end": START,
            "bytes_to_server": 512,
            "bytes_to_client": 2048,
            "packets_to_server": 5,
            "packets_to_client": 4,
            "file_magic": None,
            "file_bytes": None,
            "file_sha256": None,
            "capture": None,
            "flow_sessions": 1,
            "hits": [],
        }
        | fields
    )


def make_tls_row(**fields: Any) -> dict[str, Any]:
    """Return a whole TLS session row."""
    day = 86_400_000_000
    names = ("method", "uri", "uri_decoded", "user_agent", "http_version", "status", "content_type", "response_bytes")
    return (
        make_row(**dict.fromkeys(names))
        | {
            "tx_id": None,
            "protocol": "tls",
            "app_proto": "tls",
            "dst_port": 443,
            "host": "api-3.talk.example",
            "tls_version": "TLS 1.2",
            "ja3": "b32309a26951912be7dba376398abc3b",
            "ja3s": "eb1d94daa7e0344597e756a1fb6e7054",
            "ja4": "t12d1516h2_8daaf6152771_02713d6af862",
            "alpn": "h2,http/1.1",
            "cipher": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "session_resumed": 0,
            "cert_subject": "C=XX, O=Talk, CN=*.talk.example",
            "cert_issuer": "C=XX, O=Synthetic Trust, CN=Synthetic CA 1",
            "cert_serial": "0A:1B",
            "cert_sha1": "ad1b576cacbe465465f61d6d852a381607" + "7d3117",
            "cert_not_before": START - 30 * day,
            "cert_not_after": START + 60 * day,
            "cert_names": "*.talk.example,talk.example",
            "flow_end": START + 42_000_000,
        }
        | fields
    )


def make_raw(row: dict[str, Any]) -> dict[str, Any]:
    """Return what a sensor would have written about a row."""
    if row["protocol"] == "tls":
        tls = {"sni": row["host"], "version": row["tls_version"], "ja3": {"hash": row["ja3"]}, "ja4": row["ja4"]}
        return {"event_type": "tls", "src_ip": row["src_ip"], "tls": tls}
    return {
        "event_type": "http",
        "src_ip": row["src_ip"],
        "http": {
            "hostname": row["host"],
            "url": row["uri"],
            "request_headers": [{"name": "User-Agent", "value": row["user_agent"]}],
            "response_headers": [{"name": "Content-Type", "value": row["content_type"]}],
        },
    }


def make_session_item(queue: Queue | None = None, row: dict[str, Any] | None = None, **fields: Any) -> Item:
    """Return an open item that stands for a whole row."""
    row = row or make_row()
    score = {"version": 1, "stage": "silent", "score": 0.94, "raw": 2.75, "threshold": 0.7, "verdict": True}
    record = {
        "row": orjson.dumps(row).decode(),
        "raw": orjson.dumps(make_raw(row)).decode(),
        "scores": orjson.dumps([score]).decode(),
        "rule_set": "et-open (26,694 rules)",
    }
    fields.setdefault("decision", {"score": 0.94, "threshold": 0.7})
    return make_item(queue=queue or make_queue(), record=record | fields.pop("record", {}), **fields)


def make_suggestion(**fields: Any) -> Suggestion:
    """Return what a language model said of an item."""
    defaults = {
        "model": "local-7b",
        "answer": "positive",
        "reason": "quotes and OR in a parameter",
        "milliseconds": 900,
    }
    defaults |= {"item": fields.get("item") or make_item(), "sent": ["host", "method"]}
    return Suggestion.objects.create(**defaults | fields)


def make_hunt_proposal(**fields: Any) -> HuntProposal:
    """Return a sentence and the filter that a language model wrote for it."""
    defaults = {"sentence": "errors of shops", "sent": "errors of shops", "filter": "http.status == 500"}
    defaults |= {"by": fields.get("by") or make_user(), "model": "local-7b", "answered_at": SOME_TIME}
    return HuntProposal.objects.create(**defaults | fields)


def make_reference_row(**fields: Any) -> ReferenceRow:
    """Return a row of two experts' answers about a session item; `row` is the session, as a dict."""
    session = fields.pop("row", None) or make_row()
    item = fields.get("item") or make_session_item(make_queue(slug=f"queue-{next(_number)}"), session)
    defaults = {
        "detector": item.detector,
        "item": item,
        "subject_key": item.subject_key,
        "title": item.title,
        "answer": "positive",
        "rule_hit": False,
        "role": "hold-out",
        "shape": item.shape,
        "fingerprint": item.fingerprint,
        "host": session["src_ip"],
        "day": SOME_TIME.date(),
        "sensor": "core-1",
        "source": "office",
        "protocol": session["protocol"],
        "row": orjson.dumps(session).decode(),
    }
    values = defaults | fields
    values.setdefault("digest", row_digest(values["subject_key"], values["answer"], session))
    made = ReferenceRow.objects.create(**values)
    for _expert in range(2):
        label = {"subject_kind": "session", "subject_key": made.subject_key, "answer": made.answer}
        made.labels.add(Label.objects.create(item=item, detector=made.detector, expert=make_user(), **label))
    Item.objects.filter(pk=item.pk).update(state="settled", outcome=made.answer, reference_checked_at=SOME_TIME)
    return made


def make_reference_proposal(**fields: Any) -> ReferenceProposal:
    """Return an engineer's proposal to retire a row."""
    by = fields.get("by") or make_user(Role.ENGINEER)
    row = fields.get("row") or make_reference_row()
    defaults = {"row": row, "kind": "retire", "reason": "mislabelled", "note": "a scanner of ours", "by": by}
    return ReferenceProposal.objects.create(**defaults | {"role": by.role} | fields)


def make_dispute(**fields: Any) -> Dispute:
    """Return an expert's doubt about a row."""
    by = fields.get("by") or make_user()
    row = fields.get("row") or make_reference_row()
    defaults = {"row": row, "reason": "wrong-answer", "note": "our own scanner", "by": by, "role": by.role}
    return Dispute.objects.create(**defaults | fields)


def make_import(**fields: Any) -> ReferenceImport:
    """Return an engineer's import that waits; its files do not exist."""
    by = fields.get("by") or make_user(Role.ENGINEER)
    defaults = {"detector": fields.get("detector") or make_detector(), "name": "theirs.jsonl", "digest": digest()}
    return ReferenceImport.objects.create(**defaults | {"path": "none", "good": 2, "by": by, "role": by.role} | fields)


def failing_report(row: ReferenceRow, **fields: Any) -> GateReport:
    """Return a gate report that lists a row as wrong."""
    version = fields.pop("version", None) or make_version(detector=row.detector)
    case = {"key": row.subject_key, "answer": row.answer, "rule_hit": False, "role": row.role, "shape": row.shape}
    listed = {"rows": [case | {"title": row.title, "raw": 1.0, "score": 0.73}], "text": "1 wrong of 1"}
    check = {"name": "reference", "passed": False, "level": "block", "figure": 1, "limit": 0} | listed
    report = {"passed": False, "sentence": f"{version} may not leave", "checks": [check], "counts": {}, "digests": {}}
    return make_gate_report(version=version, report=report, **fields)


def make_contradiction(**fields: Any) -> Contradiction:
    """Return the strongest contradiction of a detector's day, about a settled item."""
    item = fields.pop("item", None) or make_session_item(state="settled", outcome="negative", settled_at=SOME_TIME)
    reason = {"side": "rules", "strength": 1.0, "item": item.pk, "figures": {"hit": 1, "negative": 1}}
    defaults = {"place": 1, "shape": item.shape, "strength": 1.0, "reasons": [reason], "policy": {}}
    return Contradiction.objects.create(detector=item.detector, day=SOME_TIME.date(), item=item, **defaults | fields)


def make_rollback(**fields: Any) -> Rollback:
    """Return an engineer's rollback of a version, to nothing."""
    by = fields.get("by") or make_user(Role.ENGINEER)
    version = fields.pop("version", None) or make_version()
    change = StageChange.objects.create(version=version, old="active", new="silent", reason="drill", by=by)
    return Rollback.objects.create(**{"change": change, "reason": "drill", "by": by, "role": by.role} | fields)


def make_ledger_entry(**fields: Any) -> LedgerEntry:
    """Return the entry of a snapshot."""
    snapshot = make_snapshot()
    with transaction.atomic():
        return ledger.record(LedgerKind.SNAPSHOT, snapshot, detector=snapshot.detector, **fields)


def make_gate_report(**fields: Any) -> GateReport:
    version = fields.get("version") or make_version()
    defaults = {
        "version": version,
        "threshold": version.threshold,
        "snapshot": fields.get("snapshot") or make_snapshot(detector=version.detector),
        "passed": False,
        "report": {"passed": False, "sentence": "may not leave", "checks": [], "counts": {}},
        "digest": digest(),
    }
    return GateReport.objects.create(**defaults | fields)


def make_proposal(**fields: Any) -> StageProposal:
    """Return an engineer's proposal to retire a silent version."""
    version = fields.get("version") or make_version()
    by = fields.get("by") or make_user(Role.ENGINEER)
    defaults = {"version": version, "old": version.stage, "new": "retired", "by": by, "role": by.role}
    return StageProposal.objects.create(**defaults | fields)


def make_bundle(**fields: Any) -> Bundle:
    """Return the row of a bundle; its file does not exist."""
    defaults = {
        "digest": digest(),
        "config": "",
        "path": f"bundles/{next(_number)}.onnx",
        "bytes": 1000,
        "metadata": {},
    }
    return Bundle.objects.create(**defaults | fields)


def make_indicator_list(**fields: Any) -> IndicatorList:
    """Return a list of domains with its first version; the file does not exist."""
    found = IndicatorList.objects.create(**{"name": f"bad-{next(_number)}", "kind": "domain"} | fields)
    found.versions.create(number=1, digest=digest(), path="indicators/lists/none.jsonl.gz", entries=2)
    return found


def make_customer(**fields: Any) -> Customer:
    return Customer.objects.create(**{"name": f"customer {next(_number)}"} | fields)


def make_deadline(**fields: Any) -> Deadline:
    """Return a clock that has been running since `at`."""
    return deadlines.start(fields.pop("at", timezone.now()), clock.Terms(), **fields)


def make_complaint(**fields: Any) -> Complaint:
    """Return a complaint that was received, with its item; the bundle's file does not exist."""
    by = fields.pop("filed_by", None) or make_user(Role.SUPPORT)
    version = fields.pop("version", None) or make_version()
    bundle = fields.pop("bundle", None) or make_bundle()
    if not bundle.entries.exists():
        BundleEntry.objects.create(bundle=bundle, version=version, threshold=0.7, is_silent=True)
    received = fields.pop("received_at", timezone.now())
    row = make_row()
    defaults = {
        "customer": fields.pop("customer", None) or make_customer(),
        "deadline": make_deadline(at=received),
        "bundle": bundle,
        "detector": version.detector,
        "version": version,
        "flagged": "GET /",
        "row": orjson.dumps(row).decode(),
        "shape": "0" * 64,
        "contact": "soc@acme.example",
        "score": 0.9,
        "threshold": 0.7,
        "reproduced": False,
        "received_at": received,
        "filed_by": by,
    }
    complaint = Complaint.objects.create(**defaults | fields)
    due = complaint.deadline.due_at
    flagged = complaint_items.Flagged(
        complaint.number, complaint.customer.name, due, row, "GET /", version, 0.9, 0.7, []
    )
    ComplaintState.objects.create(complaint=complaint, state="received", by=by, item=complaint_items.add(flagged))
    return complaint


def enter(complaint: Complaint, *states: str, **facts: Any) -> None:
    """Take a complaint through states that its own may not lead to."""
    for state in states:
        reason = "why" if state in ("rejected", "told", "needs-information") else ""
        ComplaintState.objects.create(complaint=complaint, state=state, **{"reason": reason} | facts)
        if state in ("published", "told"):
            deadlines.stop(complaint.deadline)
        Complaint.objects.filter(pk=complaint.pk).update(state=state)
        if state == "told":
            Complaint.objects.filter(pk=complaint.pk).update(told_at=timezone.now())
    complaint.refresh_from_db()


def make_attachment(**fields: Any) -> Attachment:
    """Return a file that came with a complaint, and lies in the store."""
    path = f"evidence/{next(_number)}"
    storage.put_bytes(path, b"GET / HTTP/1.1")
    defaults = {"name": "request.txt", "kind": "request", "size": 14, "digest": digest(), "path": path}
    return Attachment.objects.create(
        **{"complaint": fields.pop("complaint", None) or make_complaint()} | defaults | fields
    )


def make_subscription(**fields: Any) -> Subscription:
    return Subscription.objects.create(
        **{"carrier": "webhook", "target": "https://hooks.example/in", "topics": [], "secret": "whsec_c2VjcmV0"}
        | fields
    )


def make_announcement(**fields: Any) -> Announcement:
    defaults = {"key": f"made-{next(_number)}", "topic": "test", "subject": "a test", "payload": {"n": 1}}
    return Announcement.objects.create(**defaults | fields)


def make_delivery(**fields: Any) -> Delivery:
    fields.setdefault("announcement", fields.get("announcement") or make_announcement())
    return Delivery.objects.create(**{"subscription": fields.pop("subscription", None) or make_subscription()} | fields)


def make_unique_detect(**fields: Any) -> Item:
    """Return an item that experts settled as found by the model alone, long enough ago."""
    settled: dict[str, Any] = {
        "state": "settled",
        "outcome": "positive",
        "settled_at": timezone.now() - timedelta(hours=13),
    }
    return make_session_item(**settled | fields)


def _versions_side_by_side() -> list[Any]:
    version = make_version()
    return [version.detector.name, version.number, make_version(detector=version.detector).number]


def _version_of_a_page() -> list[Any]:
    version = make_version()
    return [version.detector.name, version.number]


def _snapshot_of_a_page() -> list[Any]:
    snapshot = make_snapshot()
    storage.put_bytes(snapshot.path, b"frozen")
    return [snapshot.detector.name, snapshot.number]


# For tests/test_rights.py: URL name → function that makes what the URL's arguments name and returns the arguments.
def _feeds() -> Any:
    from tests import feeds  # it is made of these factories

    return feeds


def _field() -> Any:
    from tests import field  # it is made of these factories

    return field


URL_ARGS: dict[str, Callable[[], list[Any]]] = {
    "accounts:change-role": lambda: [make_user().pk],
    "accounts:disable-user": lambda: [make_user().pk],
    "accounts:enable-user": lambda: [make_user().pk],
    "accounts:reset-password": lambda: [make_user().pk],
    "accounts:reset-second-factor": lambda: [make_user().pk],
    "accounts:revoke-token": lambda: [make_token()[0].pk],
    "traffic:upload-state": lambda: [make_upload().pk],
    "traffic:cancel-upload": lambda: [make_upload().pk],
    "models_registry:insight": _version_of_a_page,
    "models_registry:version-graph": _version_of_a_page,
    "models_registry:version-file": _version_of_a_page,
    "models_registry:bundle-graph": lambda: [make_bundle().pk],
    "models_registry:bundle-file": lambda: [make_bundle().pk],
    "models_registry:viewer-file": lambda: ["host.js"],
    "models_registry:change-detector": lambda: [make_detector().name],
    "models_registry:change-schedule": lambda: [make_detector().name],
    "models_registry:approve-change": lambda: [make_change().pk],
    "models_registry:decline-change": lambda: [make_change().pk],
    "labeling:verdict-diff": lambda: [make_verdict_diff().pk],
    "labeling:review-diff": lambda: [make_verdict_diff().pk],
    "labeling:dial": _version_of_a_page,
    "labeling:decide-threshold": lambda: [make_threshold_proposal().pk],
    "labeling:run-gate": _version_of_a_page,
    "models_registry:approve-ship-query": lambda: [make_ship_query_change().pk],
    "models_registry:decline-ship-query": lambda: [make_ship_query_change().pk],
    "api:upload-version": lambda: [make_detector().name],
    "models_registry:upload-version": lambda: [make_detector().name],
    "api:proposals": lambda: [make_detector().name],
    "api:ship-queries": lambda: [make_detector().name],
    "api:detector": lambda: [make_detector().name],
    "jobs:job": lambda: [make_job().pk],
    "jobs:state": lambda: [make_job().pk],
    "jobs:cancel": lambda: [make_job().pk],
    "triage:complaint": lambda: [make_complaint().pk],
    "triage:stop-gaps": lambda: [make_complaint().pk],
    "triage:build-stop-gap": lambda: [make_complaint().pk],
    "triage:ask-customer": lambda: [make_complaint().pk],
    "triage:reject-complaint": lambda: [make_complaint().pk],
    "triage:erase-complaint": lambda: [make_complaint().pk],
    "triage:attachment": lambda: [make_attachment().pk],
    "triage:customer": lambda: [make_customer().pk],
    "triage:change-promise": lambda: [make_customer().pk],
    "triage:end-serving": lambda: [Serving.objects.create(user=make_user(), customer=make_customer()).pk],
    "triage:incident": lambda: [_field().make_incident().pk],
    "triage:acknowledge-incident": lambda: [_field().make_incident().pk],
    "triage:close-incident": lambda: [_field().make_incident().pk],
    "triage:incident-stop-gaps": lambda: [_field().make_incident().pk],
    "triage:build-incident-stop-gap": lambda: [_field().make_incident().pk],
    "triage:stream": lambda: [_field().make_incident().stream_id],
    "triage:stream-chart": lambda: [_field().make_incident().stream_id],
    "triage:field-versions": lambda: [make_version().pk],
    "triage:site-telemetry": lambda: [_feeds().make_site().pk],
    "triage:field-standings": lambda: [make_detector().name],
    "triage:gate-fixes": lambda: [make_gate_report().pk],
    "triage:bundle-fixes": lambda: [make_bundle().pk],
    "triage:unsubscribe": lambda: [make_subscription().pk],
    "triage:test-subscription": lambda: [make_subscription(carrier="mail", target="a@b.example").pk],
    "triage:send-again": lambda: [make_delivery().pk],
    "triage:draft-rule": lambda: [make_unique_detect().pk],
    "triage:draft-event": lambda: [make_unique_detect().pk],
    "api:complaint": lambda: [make_complaint().pk],
    "api:complaint-evidence": lambda: [make_complaint().pk],
    "triage:flips": lambda: [make_complaint().pk],
    "triage:add-information": lambda: [make_complaint().pk],
    "triage:tell-customer": lambda: [make_complaint().pk],
    "triage:place-thresholds": _version_of_a_page,
    "triage:change-site-budget": lambda: [*_version_of_a_page(), make_customer().sites.create(name="here").pk],
    "triage:organisation": lambda: [make_organisation().slug],
    "triage:change-budget": lambda: [make_organisation().slug],
    "triage:change-weights": lambda: [make_organisation().slug],
    "triage:watch-sensor": lambda: [make_sensor().pk],
    "triage:entity": lambda: [make_entity().pk],
    "triage:entity-picture": lambda: [make_entity().pk],
    "triage:place-entity": lambda: [make_entity().pk],
    "models_registry:create-site": lambda: [make_customer().pk],
    "models_registry:customer-bundles": lambda: [make_customer().pk],
    "models_registry:return-customer": lambda: [make_customer().pk],
    "triage:flagged-again": lambda: [make_customer().pk, make_bundle().pk],
    "api:release": lambda: [_feeds().make_release().pk],
    "api:signatures": lambda: [_feeds().make_release().pk],
    "models_registry:measure-bundle": lambda: [make_bundle().pk],
    "models_registry:propose-release": lambda: [make_bundle().pk],
    "models_registry:release": lambda: [_feeds().make_release().pk],
    "models_registry:download-release": lambda: [_feeds().make_release().pk],
    "models_registry:sign-release": lambda: [_feeds().make_release().pk],
    "models_registry:retire-appliance": lambda: [_feeds().make_appliance().pk],
    "api:feed-metadata": lambda: ["timestamp"],
    "api:feed-target": lambda: ["stable/none.http.onnx"],
    "traffic:download-quarantine": lambda: [make_intake().pk],
    "traffic:replay-quarantine": lambda: [make_intake().pk],
    "traffic:quarantine": lambda: [make_intake().pk],
    "labeling:session": lambda: [make_stored_segment([make_row()]).pk << 32],
    "labeling:export-hunt": lambda: ["jsonl"],
    "labeling:saved-hunt": lambda: [make_saved_hunt().pk],
    "labeling:forget-hunt": lambda: [make_saved_hunt().pk],
    "labeling:hunt-send": lambda: [make_hunt_send().pk],
    "labeling:hunt-send-state": lambda: [make_hunt_send().pk],
    "labeling:undo-hunt-send": lambda: [make_hunt_send().pk],
    "labeling:cancel-hunt-send": lambda: [make_hunt_send().pk],
    "labeling:session-alike": lambda: [make_stored_segment([make_row()]).pk << 32],
    "labeling:session-near": lambda: [make_stored_segment([make_row()]).pk << 32],
    "labeling:item-similar": lambda: [make_session_item().pk],
    "labeling:item-alike": lambda: [make_session_item().pk],
    "labeling:item-near": lambda: [make_session_item().pk],
    "labeling:queue": lambda: [make_queue().slug],
    "labeling:saved-queue": lambda: [make_saved_queue().pk],
    "labeling:save-queue": lambda: [make_queue().slug],
    "labeling:forget-queue": lambda: [make_saved_queue().pk],
    "labeling:bulk": lambda: [make_queue().slug],
    "labeling:bulk-verdict": lambda: [make_bulk_verdict().pk],
    "labeling:bulk-state": lambda: [make_bulk_verdict().pk],
    "labeling:undo-bulk": lambda: [make_bulk_verdict().pk],
    "labeling:cancel-bulk": lambda: [make_bulk_verdict().pk],
    "labeling:work": lambda: [make_queue().slug],
    "labeling:item": lambda: [make_session_item().pk],
    "labeling:claim-item": lambda: [make_session_item().pk],
    "labeling:submit-label": lambda: [make_session_item().pk],
    "labeling:change-queue": lambda: [make_queue().slug],
    "labeling:ask-again": lambda: [make_contradiction().pk],
    "labeling:return-item": lambda: [make_session_item().pk],
    "labeling:take-over-item": lambda: [make_session_item().pk],
    "labeling:skip-item": lambda: [make_session_item().pk],
    "labeling:postpone-item": lambda: [make_session_item().pk],
    "labeling:take-back-item": lambda: [make_session_item().pk],
    "labeling:group": lambda: [make_session_item().pk],
    "labeling:release-item": lambda: [make_session_item().pk],
    "labeling:renew-claim": lambda: [make_session_item().pk],
    "labeling:undo-one": lambda: [make_label().pk],
    "labeling:raw-record": lambda: [make_session_item().pk],
    "labeling:explanation": lambda: [make_session_item().pk],
    "labeling:hunt-proposal": lambda: [make_hunt_proposal().pk],
    "labeling:place": lambda: [make_session_item().pk],
    "labeling:neighbours": lambda: [make_session_item().pk],
    "labeling:spread": lambda: [make_session_item().pk],
    "labeling:host": lambda: [make_session_item().pk],
    "labeling:retrain": lambda: [make_detector().name],
    "labeling:retrain-state": lambda: [make_detector().name],
    "labeling:scoreboard": lambda: [make_detector().name],
    "labeling:standings": lambda: [make_detector().name],
    "labeling:versus": lambda: [make_detector().name],
    "labeling:versus-counts": _versions_side_by_side,
    "labeling:proof": _version_of_a_page,
    "labeling:reference": lambda: [make_detector().name],
    "labeling:find-reference-row": lambda: [make_detector().name],
    "labeling:reference-row": lambda: [make_reference_row().pk],
    "labeling:dispute-row": lambda: [make_reference_row().pk],
    "labeling:retire-row": lambda: [make_reference_row().pk],
    "labeling:spend-row": lambda: [make_reference_row().pk],
    "labeling:flag-row": lambda: [make_reference_row().pk],
    "labeling:confirm-row": lambda: [make_reference_row().pk],
    "labeling:decide-proposal": lambda: [make_reference_proposal().pk],
    "labeling:decide-dispute": lambda: [make_dispute().pk],
    "labeling:snapshots": lambda: [make_detector().name],
    "labeling:compare-snapshots": lambda: [make_detector().name],
    "labeling:coverage": lambda: [make_detector().name],
    "labeling:export-reference": lambda: [make_detector().name, "jsonl"],
    "labeling:reference-imports": lambda: [make_detector().name],
    "labeling:reference-import": lambda: [make_import().pk],
    "labeling:decide-import": lambda: [make_import().pk],
    "labeling:download-bad-lines": lambda: [make_import().pk],
    "labeling:download-snapshot": _snapshot_of_a_page,
    "models_registry:indicator-list": lambda: [make_indicator_list().name],
    "models_registry:withdraw-indicators": lambda: [make_indicator_list().name],
    "models_registry:detector": lambda: [make_detector().name],
    "models_registry:version": _version_of_a_page,
    "models_registry:board": _version_of_a_page,
    "models_registry:scores": _version_of_a_page,
    "models_registry:against": _versions_side_by_side,
    "models_registry:propose-stage": _version_of_a_page,
    "models_registry:approve-stage": lambda: [make_proposal().pk],
    "models_registry:decline-stage": lambda: [make_proposal().pk],
    "models_registry:roll-back": _version_of_a_page,
    "models_registry:review-rollback": lambda: [make_rollback().pk],
    "models_registry:ledger-entry": lambda: [make_ledger_entry().number],
    "models_registry:gate": lambda: [make_gate_report().pk],
    "models_registry:accept-loss": lambda: [make_gate_report().pk],
    "models_registry:compare-bundles": lambda: [make_bundle().pk, make_bundle().pk],
    "models_registry:comparison": lambda: [make_job(task="models_registry.tasks.compare_bundle").pk],
    "models_registry:bundle": lambda: [make_bundle().pk],
}
