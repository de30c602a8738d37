"""The whole loop, turned once: traffic, first version, experts, candidate, gate, bundle, complaint, fix.

Everything goes the way it goes by day: logs through the intake, training and scoring as jobs, ticks as the clock runs
them; answers, complaints and stages through the pages. Beside a worker and a clock it shares the work with them."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import yaml
from celery import current_app
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from appliance.scorer import BundleScorer
from config.demo import delivery, field, report, world
from config.demo.experts import Colleague, NotAsExpected, Visitor
from jobs.models import Job, State
from labeling import tasks as labeling_tasks
from labeling.models import Label, Queue
from labeling.services import retraining
from models_registry import tasks as registry_tasks
from models_registry.models import Bundle, Channel, Customer, Detector, GateReport, Stage, Version
from models_registry.services import candidates, detectors
from traffic import storage
from traffic.services import ingest, rule_sets
from triage import tasks as triage_tasks
from triage.models import Complaint, ComplaintState

Tell = Callable[[str], None]
PROOF = "proof"
HUNTED = ("complaint", "unique", "disagreement", "missed", "uncertain")
FORMATS = "docs/formats"
NARROW = "detector.malware-beacons.yml"  # goes all the way
BROAD = "detector.http-attacks.yml"  # stays a silent first version: far more to learn before it may leave
LONGEST_WAIT = 900.0  # seconds for one piece of work, whoever does it
PAUSE = 0.2  # seconds between looks at work that somebody else does
WORK_BEGINS = timedelta(hours=7)  # UTC: ten o'clock where the simulated people are


@dataclass(frozen=True, slots=True)
class Plan:
    """How large a turn is, and how good its experts are."""

    seed: int = world.SEED
    minutes: float = 3.0  # of stored traffic that the first version learns from
    answers: int = 160  # of each expert before the first retrain, at most
    answers_broad: int = 40  # of each expert about the broad detector, at most
    answers_again: int = 80  # of each expert in every later round, at most
    later_seconds: float = 8.0  # of new traffic after the first version was trained, at least
    later_at_most: float = 60.0  # seconds; on a slow machine the network is not watched all the time
    proofs: int = 40  # answers of each expert to what was drawn, at most, in every round
    rounds: int = 3  # retrains until a version passes the gate, at most
    errors: float = 0.03  # share of wrong answers of an expert
    senior_errors: float = 0.01
    unsure: float = 0.02  # share of "cannot tell"
    customer_minutes: float = 20.0  # of a customer's traffic in which he finds a false positive


PLAN = Plan()


def turn(tell: Tell, *, people: Mapping[str, User], plan: Plan = PLAN) -> dict[str, Any]:
    """Turn the loop once and return what came of it, as one JSON object. `tell` hears one short line per step.

    `people` by name: expert, expert2, senior, engineer, support, administrator. Raises NotAsExpected."""
    return _Turn(tell, people, plan).run()


class _Turn:
    def __init__(self, tell: Tell, people: Mapping[str, User], plan: Plan) -> None:
        self.tell, self.plan = tell, plan
        self.network = world.busy(plan.seed)
        self.lived = timezone.now()  # the network's traffic is taken in up to here
        self.engineer, self.support = Visitor(people["engineer"]), Visitor(people["support"])
        self.administrator = Visitor(people["administrator"])
        self.senior_visitor = Visitor(people["senior"])
        self.experts = [self._colleague(people[name], plan.errors) for name in ("expert", "expert2")]
        self.senior = self._colleague(people["senior"], plan.senior_errors)
        self.seconds: dict[str, float] = {}
        self.rounds: list[dict[str, Any]] = []
        current_app.loader.import_default_modules()  # tasks by name

    def _colleague(self, user: User, errors: float) -> Colleague:
        return Colleague(user, errors=errors, unsure=self.plan.unsure, seed=self.plan.seed)

    def run(self) -> dict[str, Any]:
        began = time.perf_counter()
        with self._step("traffic"):
            self._declare()
            self._history()
        with self._step("first versions"):
            for detector in (self.broad, self.detector):
                if not detector.versions.exists():
                    self._retrain(detector, "the first turn")
        with self._step("score and route"):
            self._pipeline()
        with self._step("answers"):
            self._answer(self.broad, self.plan.answers_broad)
            self._answer(self.detector, self.plan.answers)
        with self._step("live traffic"):
            self._live(self.plan.later_seconds)
        with self._step("proof"):
            self._prove()
        version, passed = self._candidate()
        with self._step("bundle"):
            bundle = self._bundle(version, loud=passed)
            if passed:
                self._give(bundle, Customer.objects.get(name=field.GOES_BAD))
        with self._step("live traffic"):
            self._live(0)
        with self._step("complaint"):
            complaint = self._complain(bundle)
        if complaint is not None:
            version, passed = self._candidate(asked=True)
            with self._step("fix"):
                bundle = self._bundle(version, loud=passed)
                self._fix(complaint)
        with self._step("proof"):
            self._live(0)
            self._prove()
        self.seconds["total"] = round(time.perf_counter() - began, 1)
        return report.of(
            version=version, bundle=bundle, rounds=self.rounds, plan=asdict(self.plan),
            people=[*self.experts, self.senior], seconds=self.seconds,
        )  # fmt: skip

    # --- traffic

    def _declare(self) -> None:
        """Make the sensors with their rules, the detector, and the customers."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "synthetic.rules"
            path.write_bytes(self.network.rule_file())
            rules = rule_sets.add_rule_set(path, "synthetic rules")
        for sensor in self.network.sensors:
            rule_sets.sensor_named(sensor, rules)
        self.detector, self.broad = (
            detectors.make_detector(yaml.safe_load((settings.BASE_DIR / FORMATS / name).read_text()))
            for name in (NARROW, BROAD)
        )
        for name in world.CUSTOMERS:
            if not Customer.objects.filter(name=name).exists():
                page = self.administrator.get(reverse("triage:customers"))
                self.administrator.send(page, reverse("models_registry:create-customer"), name=name)

    def _history(self) -> None:
        begins = _newest_morning(self.lived - timedelta(minutes=self.plan.minutes))
        sessions = self._take_in(begins, begins + timedelta(minutes=self.plan.minutes))
        self.tell(f"{sessions:,} synthetic sessions of {begins:%d %B, %H:%M} UTC taken in")

    def _live(self, seconds: float) -> None:
        """Take in what the network did meanwhile, `seconds` since the newest training set at least; score and route."""
        newest = self.detector.versions.select_related("training_set").order_by("-number").first()
        until = newest.training_set.frozen_at + timedelta(seconds=seconds) if newest else self.lived
        while (now := timezone.now()) < until:
            sleep(min((until - now).total_seconds(), 1.0))
        sessions = self._take_in(max(self.lived, now - timedelta(seconds=self.plan.later_at_most)), now)
        self.lived = now
        self._pipeline()
        self.tell(f"{sessions:,} sessions came in meanwhile")

    def _take_in(self, start: datetime, end: datetime) -> int:
        """Take in what each sensor logged in a window, as one file each; return the sessions."""
        sessions = 0
        for sensor in self.network.sensors:
            lines = b"".join(line + b"\n" for line in self.network.lines(start, end, sensor))
            name = f"{sensor}.json"  # one source: training leaves out sensors, not minutes
            sessions += ingest.ingest_stream(io.BytesIO(lines), name, rule_sets.sensor_named(sensor)).sessions
        return sessions

    def _pipeline(self) -> None:
        _tick(registry_tasks.score_segments)
        _tick(labeling_tasks.route_scores)

    # --- experts

    def _answer(self, detector: Detector, most: int) -> int:
        """Let both experts answer what a detector hunted, `most` each, and the senior what they disagree about; return
        how many answers came."""
        before = Label.objects.count()
        for expert in self.experts:
            _answer(expert, HUNTED, most, detector)
        self._decide(HUNTED)
        came = Label.objects.count() - before
        self.tell(f"{came} answers about {detector}")
        return came

    def _decide(self, kinds: Sequence[str]) -> None:
        """Let the senior decide conflicts: they come to him before all else."""
        for queue in Queue.objects.filter(kind__in=kinds, conflicts__gt=0).select_related("detector").order_by("slug"):
            _answer(self.senior, (queue.kind,), queue.conflicts, queue.detector)

    def _prove(self) -> None:
        """Let both experts answer what was drawn to prove the narrow detector's versions."""
        before = Label.objects.count()
        for expert in self.experts:
            _answer(expert, (PROOF,), self.plan.proofs, self.detector)
        self._decide((PROOF,))
        self.tell(f"{Label.objects.count() - before} answers about what was drawn for proof")

    # --- candidates

    def _candidate(self, *, asked: bool = False) -> tuple[Version, bool]:
        """Retrain until a version passes the gate, as a team would: it runs silently, what it says is answered, and the
        next one learns from that. Return the newest version and whether it passed; `asked`: a training is under way."""
        for number in range(1, self.plan.rounds + 1):
            with self._step("retrain"):
                version = self._retrain(self.detector, f"round {number}", asked=asked and number == 1)
            with self._step("candidate over the store"):
                _finish(candidates.start(version))
            with self._step("stages"):
                self._silent(version)
            with self._step("gate"):
                gate = self._gate(version)
            if gate.passed or number == self.plan.rounds:
                break
            with self._step("score and route"):
                self._pipeline()
            with self._step("answers"):
                if not self._answer(self.detector, self.plan.answers_again):
                    break  # the next one would learn from the same rows
        return version, gate.passed

    def _retrain(self, detector: Detector, reason: str, *, asked: bool = False) -> Version:
        """Train the next version; where one was asked for, that one, also when a worker has made it meanwhile."""
        asked_for = Job.objects.filter(run_key=retraining.run_key(detector)).order_by("-id").first() if asked else None
        job = _finish(asked_for or retraining.start(detector, reason=reason))
        version = Version.objects.select_related("detector", "training_set").get(pk=job.result["version_id"])
        self.tell(f"{version} trained on {version.training_set.rows:,} rows, {version.stage}")
        return version

    def _gate(self, version: Version) -> GateReport:
        _tick(labeling_tasks.gate_nightly)
        gate = GateReport.objects.filter(version=version, threshold=version.threshold).order_by("-id").first()
        if gate is None:
            raise NotAsExpected(f"{version} was not gated: nothing is in the reference set of {self.detector}")
        checks = {check["name"]: check["text"] for check in gate.report["checks"]}
        self.rounds.append({"version": str(version), "passed": gate.passed, "reference": checks["reference"]})
        self.tell(f"{gate.report['sentence']} ({checks['reference']})")
        return gate

    def _silent(self, version: Version) -> None:
        """Let a candidate run silently in the place of the one before."""
        former = list(self.detector.versions.filter(stage=Stage.SILENT).exclude(pk=version.pk))
        if version.stage == Stage.CANDIDATE:
            self._stage(version, Stage.SILENT)
        for one in former:
            self._stage(one, Stage.RETIRED)

    def _stage(self, version: Version, stage: Stage) -> None:
        """Two people change a stage: the engineer proposes, the senior approves."""
        address = reverse("models_registry:version", args=[self.detector.name, version.number])
        action = reverse("models_registry:propose-stage", args=[self.detector.name, version.number])
        told = {"stage": stage.value, "reason": "the demo's turn"}
        # who was active goes on silently: sites count both on the same sessions
        self.engineer.send(self.engineer.get(address), action, displaced_to=Stage.SILENT.value, **told)
        page = self.senior_visitor.get(address)
        approve = [form.action for form in page.forms if form.action.endswith("/approve/")]
        if not approve:
            raise NotAsExpected(f"{address} offers the senior nothing to approve")
        self.senior_visitor.send(page, approve[0])
        version.refresh_from_db(fields=["stage"])
        if version.stage != stage:
            raise NotAsExpected(f"{version} is {version.stage} after two people made it {stage}")

    # --- what leaves

    def _bundle(self, version: Version, *, loud: bool) -> Bundle:
        """Build the bundle: loud where the gate passed, else the version goes along silently."""
        if loud and version.stage == Stage.SILENT:
            self._stage(version, Stage.ACTIVE)
        bundle = delivery.build([(version, loud)])
        self.tell(f"bundle {bundle}: {version} {'loud' if loud else 'silent, the gate did not pass'}")
        delivery.make_feed(self.engineer.user, self.senior_visitor.user)
        self.tell(delivery.deliver(bundle, self.engineer, self.senior_visitor.user))
        return bundle

    def _give(self, bundle: Bundle, customer: Customer) -> None:
        """Give a customer a bundle as his own. No later one of his channel reaches him: when a site of his goes bad,
        only people stop the clock."""
        senior = self.senior_visitor.user
        given = delivery.release(bundle, Channel.CUSTOMER, self.engineer, senior, customer=customer)
        self.tell(f"bundle {bundle} {'is' if given else 'was not let be'} the own one of {customer}")

    # --- a customer

    def _complain(self, bundle: Bundle) -> Complaint | None:
        """Let a customer find a false positive of the bundle, support file it, and an expert confirm it."""
        found = _false_positive(bundle, self.lived, self.plan)
        if found is None:
            self.tell("no customer found a false positive")
            return None
        name, record = found
        page = self.support.get(reverse("triage:file-complaint"))
        customer = Customer.objects.get(name=name)
        contact = f"security@{name.split()[-1].lower()}.example"
        fields = {"customer": customer.pk, "flagged": record.decode(), "contact": contact}
        filed = self.support.send(page, page.address, **fields)
        complaint = Complaint.objects.get(pk=int(filed.rstrip("/").rpartition("/")[2]))
        self.tell(f"{complaint} of {name} filed")
        _answer(self.experts[0], ("complaint",), 1)
        _tick(triage_tasks.collect_complaints)
        state = complaint.states.order_by("-id")[0].state
        self.tell(f"{complaint} is {state}")
        return complaint if state == "confirmed" else None

    def _fix(self, complaint: Complaint) -> None:
        """Follow a confirmed complaint as far as it honestly goes: what was released to its customer is told to him."""
        _tick(triage_tasks.follow_complaints)
        address = reverse("triage:complaint", args=[complaint.pk])
        state = ComplaintState.objects.filter(complaint=complaint).order_by("-id")[0].state
        self.tell(f"{complaint} is {state}")
        if state != "published":
            return
        answer = f"You are right: the session is {self.detector.negative_class}. The new bundle no longer flags it."
        tell = reverse("triage:tell-customer", args=[complaint.pk])
        self.support.send(self.support.get(address), tell, answer=answer)
        self.tell(f"the customer of {complaint} was told")

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - began, 2)


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def _newest_morning(before: datetime) -> datetime:
    """Return the newest beginning of a working day before a moment."""
    day = before.replace(hour=0, minute=0, second=0, microsecond=0)
    while day + WORK_BEGINS > before or day.weekday() >= 5:
        day -= timedelta(days=1)
    return day + WORK_BEGINS


def _answer(expert: Colleague, kinds: Sequence[str], most: int, detector: Detector | None = None) -> None:
    for _ in range(most):
        if not expert.answer_one(kinds, detector.name if detector else ""):
            return


def _tick(task: Callable[[], int | None]) -> None:
    """Do what a tick of the clock does; where another process is at it, wait and do it after."""
    waited = time.monotonic() + LONGEST_WAIT
    while task() is None:
        if time.monotonic() > waited:
            raise NotAsExpected(f"{task} is held by another process for {LONGEST_WAIT:.0f} s")
        time.sleep(PAUSE)


def _finish(job: Job) -> Job:
    """Do a job, or wait while a worker does it. NotAsExpected when it ends otherwise than done."""
    waited = time.monotonic() + LONGEST_WAIT
    while True:
        current_app.tasks[job.task](job.pk)  # leaves alone what somebody holds
        job.refresh_from_db()
        if job.state == State.DONE:
            return job
        if not job.is_live or time.monotonic() > waited:
            raise NotAsExpected(f"{job} is {job.state}: {job.error}")
        time.sleep(PAUSE)


def _false_positive(bundle: Bundle, until: datetime, plan: Plan) -> tuple[str, bytes] | None:
    """Return a session that the bundle flags at a customer and should not, and whose it is: he knows his sites.

    The first that is no attack at all; else the first attack of another kind than the detector's."""
    [entry] = bundle.entries.all()
    scorer = BundleScorer(storage.get_bytes(bundle.path), bundle.digest)
    start = _newest_morning(until - timedelta(minutes=plan.customer_minutes))
    second = None
    for name in world.CUSTOMERS:
        simulation = world.at_customer(name, plan.seed)
        for line in simulation.lines(start, start + timedelta(minutes=plan.customer_minutes)):
            record = orjson.loads(line)
            if record["event_type"] != "http":
                continue
            if scorer.score(record, run_silent=True).scores[0] < entry.threshold:
                continue
            truth = world.truth_of(record, [simulation])
            if truth is None or world.is_positive(entry.version.detector.name, truth):
                continue
            if not truth.is_attack:
                return name, line
            second = second or (name, line)
    return second
