"""`python manage.py consume --list KEY | --stream KEY | --follow FILE`: read what never ends."""

from __future__ import annotations

import signal
import socket
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import redis
from django.core.management.base import BaseCommand, CommandError

from traffic.services import ingest, rule_sets
from traffic.services.streams import Source, StreamPolicy
from traffic.services.streams.consumer import Consumer
from traffic.services.streams.followed_file import FollowedFile
from traffic.services.streams.redis_sources import RedisList, RedisStream
from traffic.services.streams.spool import SpoolInUseError


class Command(BaseCommand):
    help = "Read what a sensor writes, without end: a Redis list or stream, or a file that grows and is rotated."

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--list", metavar="KEY", help="a Redis list")
        what.add_argument("--stream", metavar="KEY", help="a Redis stream")
        what.add_argument("--follow", metavar="FILE", type=Path, help="a file that grows")
        parser.add_argument("--redis", metavar="URL", default="redis://127.0.0.1:6379/0")
        parser.add_argument("--oldest", choices=("right", "left"), default="right", help="right: written by LPUSH")
        parser.add_argument("--group", default="etalon", help="consumer group of a stream")
        parser.add_argument(
            "--consumer", metavar="NAME", default=socket.gethostname(), help="who reads: one name for all its starts"
        )
        parser.add_argument("--sensor", default=ingest.DEFAULT_SENSOR, help="name of the sensor that writes")
        parser.add_argument("--rules", metavar="FILE", help="the rule file it runs; without it, the sensor's own")
        parser.add_argument(
            "--window",
            metavar="SECONDS",
            type=float,
            default=StreamPolicy().window_seconds,
            help="a rule hit finds its session that far away; a session is stored after two of them at most",
        )
        parser.add_argument("--once", action="store_true", help="read what is there, store it, and end")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0.1 <= options["window"] <= 3600:
            raise CommandError("--window: expected 0.1 to 3600 seconds")
        policy = StreamPolicy(window_seconds=options["window"])
        try:
            rules = rule_sets.add_rule_set(options["rules"]) if options["rules"] else None
            consumer = Consumer(_source(options, policy), options["sensor"], policy, rules)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: consumer.stop())
            consumer.run(once=options["once"])
        except (OSError, ValueError, redis.RedisError, rule_sets.NoRulesError, SpoolInUseError) as error:
            raise CommandError(str(error)) from None


def _source(options: dict[str, Any], policy: StreamPolicy) -> Source:
    if options["follow"]:
        return FollowedFile(options["follow"], options["consumer"], policy)
    url, consumer = options["redis"], options["consumer"]
    if options["list"]:
        return RedisList(url, options["list"], consumer, policy, oldest=options["oldest"])
    return RedisStream(url, options["stream"], options["group"], consumer, policy)
