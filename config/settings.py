"""All settings, from the environment. Production refuses unsafe defaults."""

from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from config import endpoints
from config.logs import logging_settings

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()

# what this house keeps on its machine where nothing else is named below; the demo has a folder of its own
VAR = Path(env.str("ETALON_VAR", default=str(BASE_DIR / "var"))).absolute()

DEBUG = env.bool("DEBUG", default=False)
DEVELOPMENT = env.bool("ETALON_DEVELOPMENT", default=False)  # tests and the demo: generated key, plain HTTP

_UNSAFE_KEY = "development-only-not-a-secret"
SECRET_KEY = env.str("SECRET_KEY", default=_UNSAFE_KEY if DEVELOPMENT else "")
if not SECRET_KEY:
    raise ImproperlyConfigured("SECRET_KEY is not set. Set it, or ETALON_DEVELOPMENT=1 on a machine of your own.")
if not DEVELOPMENT and (SECRET_KEY == _UNSAFE_KEY or len(SECRET_KEY) < 32):
    raise ImproperlyConfigured("SECRET_KEY must be a secret of at least 32 characters in production.")
if DEBUG and not DEVELOPMENT:
    raise ImproperlyConfigured("DEBUG=1 shows secrets in error pages: it needs ETALON_DEVELOPMENT=1.")

# decides hold-out or regression at admission; keep it when SECRET_KEY is rotated
REFERENCE_KEY = env.str("ETALON_REFERENCE_KEY", default=SECRET_KEY)

ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"] if DEVELOPMENT else [])
if not ALLOWED_HOSTS:
    raise ImproperlyConfigured("ALLOWED_HOSTS is not set: name the host names this server answers to.")
if "*" in ALLOWED_HOSTS and not DEVELOPMENT:
    raise ImproperlyConfigured("ALLOWED_HOSTS=* lets anybody forge links: name the hosts.")

# segments, raw lines, models, bundles: a URL that pyarrow.fs understands
ETALON_STORAGE = env.str("ETALON_STORAGE", default=f"file://{VAR / 'storage'}")
if not urlparse(ETALON_STORAGE).scheme:
    raise ImproperlyConfigured(f"ETALON_STORAGE={ETALON_STORAGE!r} has no scheme: write file:///path or s3://bucket.")

# bytes that sessions and raw lines may take; 0: as much as leaves 10 GiB or a tenth of the disk free
ETALON_TRAFFIC_BYTES = env.int("ETALON_TRAFFIC_BYTES", default=0)
if ETALON_TRAFFIC_BYTES < 0:
    raise ImproperlyConfigured("ETALON_TRAFFIC_BYTES must not be negative.")

# what streams gave and is not stored yet: on a disk of this machine that outlives its processes
ETALON_SPOOL = env.str("ETALON_SPOOL", default=str(VAR / "spool"))

# who owns an address: a MaxMind ASN file or a CSV of ranges on this machine (none: dst_org stays empty)
ETALON_GEO = env.str("ETALON_GEO", default="")
# the server's own two keys of the delivery feed (timestamp, snapshot); it holds no other
ETALON_FEED_KEYS = env.str("ETALON_FEED_KEYS", default=str(VAR / "feed-keys"))
# name of the processor whose latency receipts decide a release (as in /proc/cpuinfo); empty: receipts only inform
ETALON_REFERENCE_MACHINE = env.str("ETALON_REFERENCE_MACHINE", default="")

# saved captures: the program that reads them, and the rules it reads them with (none: rules say nothing)
ETALON_SURICATA = env.str("ETALON_SURICATA", default="suricata")
ETALON_SURICATA_RULES = env.str("ETALON_SURICATA_RULES", default="")

# suggestions by a language model, off without an address: any OpenAI-compatible one ("https://HOST/v1")
ETALON_SUGGESTIONS_URL = env.str("ETALON_SUGGESTIONS_URL", default="")
ETALON_SUGGESTIONS_MODEL = env.str("ETALON_SUGGESTIONS_MODEL", default="")
ETALON_SUGGESTIONS_KEY = env.str("ETALON_SUGGESTIONS_KEY", default="")
ETALON_SUGGESTIONS_ADDRESSES = env.bool("ETALON_SUGGESTIONS_ADDRESSES", default=False)  # whether they may leave
ETALON_SUGGESTIONS_PER_DAY = env.int("ETALON_SUGGESTIONS_PER_DAY", default=500)  # questions, which may cost money
if ETALON_SUGGESTIONS_URL and (why_not := endpoints.refusal(ETALON_SUGGESTIONS_URL)):
    raise ImproperlyConfigured(f"ETALON_SUGGESTIONS_URL: {why_not}.")
if ETALON_SUGGESTIONS_URL and not ETALON_SUGGESTIONS_MODEL:
    raise ImproperlyConfigured("ETALON_SUGGESTIONS_MODEL is not set: name the language model to ask.")
if not ETALON_SUGGESTIONS_KEY.isprintable() or not ETALON_SUGGESTIONS_KEY.isascii():
    raise ImproperlyConfigured("ETALON_SUGGESTIONS_KEY has characters that no header may carry.")
if ETALON_SUGGESTIONS_PER_DAY < 0:
    raise ImproperlyConfigured("ETALON_SUGGESTIONS_PER_DAY must not be negative.")

# the outbox: a mail server ("smtp://USER:PASSWORD@HOST:25", smtp+tls, smtp+ssl; none: nothing is mailed), who writes,
# and networks of ours that webhooks and syslog may reach beside public addresses ("10.1.2.0/24,127.0.0.1/32")
EMAIL_HOST = ""
EMAIL_TIMEOUT = 10  # seconds
vars().update(env.email_url("EMAIL_URL") if env.str("EMAIL_URL", default="") else {})
DEFAULT_FROM_EMAIL = env.str("ETALON_MAIL_FROM", default="etalon@localhost")
ETALON_OUTBOX_NETWORKS = env.list("ETALON_OUTBOX_NETWORKS", default=[])
for _network in ETALON_OUTBOX_NETWORKS:
    try:
        ip_network(_network)
    except ValueError as error:
        raise ImproperlyConfigured(f"ETALON_OUTBOX_NETWORKS: {error}.") from None

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "csp",  # its system check refuses an old-style policy
    "django_celery_results",
    "accounts",
    "jobs",
    "traffic",
    "models_registry",
    "labeling",
    "triage",
    "config",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.Preferences",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "config.errors.LostFiles",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "config.navigation.navigation",
            ],
            "builtins": ["accounts.templatetags.zone"],  # any page may show a clock
        },
    }
]


def _database() -> dict[str, Any]:
    """SQLite is the embedded default, PostgreSQL the production one."""
    database: dict[str, Any] = env.db_url("DATABASE_URL", default=f"sqlite:///{VAR / 'etalon.sqlite3'}")
    if database["ENGINE"] == "django.db.backends.sqlite3":
        Path(database["NAME"]).parent.mkdir(parents=True, exist_ok=True)
        # default settings gave 61 claims/s and 1,202 "database is locked", these 8,461 claims/s
        database["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            # what is written ahead is brought into the file beside the answers (config.checkpoints); where nobody does,
            # a commit does, when there are so many pages of it
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; "
            "PRAGMA wal_autocheckpoint=16000;",
        }
    elif database["ENGINE"] != "django.db.backends.postgresql":
        raise ImproperlyConfigured(f"DATABASE_URL names {database['ENGINE']}: use sqlite:/// or postgres://.")
    else:
        database["HOST"] = unquote(database.get("HOST") or "")  # a socket's folder is written %2Frun%2Fpostgresql
    database["CONN_MAX_AGE"] = 600
    database["CONN_HEALTH_CHECKS"] = True
    return database


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.str("REDIS_URL", default="")
CACHES: dict[str, dict[str, Any]] = {
    # one cache that all workers share; sign-in sessions live in it and in the database
    "default": (
        {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
        if REDIS_URL
        else {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": str(VAR / "cache")}
    )
}


def _broker(url: str) -> dict[str, Any]:
    """Return what the transport of a broker needs to lose little; what it still loses the sweeper sends again."""
    if url.startswith("filesystem:"):
        folder = Path(env.str("CELERY_BROKER_FOLDER", default=str(VAR / "broker")))
        for name in ("messages", "control"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        messages = str(folder / "messages")
        return {"data_folder_in": messages, "data_folder_out": messages, "control_folder": str(folder / "control")}
    if not url.startswith(("redis:", "rediss:")):
        raise ImproperlyConfigured(f"CELERY_BROKER_URL={url!r}: use redis://HOST:PORT/N or filesystem://.")
    return {
        "visibility_timeout": CELERY_TASK_TIME_LIMIT + 600,  # above the longest task, or Redis hands it out twice
        "unacked_restore_interval": 2,
        "unacked_restore_throttle": 1,
    }


# jobs: the database is the truth, the broker only wakes workers up; the clock and the queues are in config/celery.py
CELERY_TASK_TIME_LIMIT = 4 * 3600  # seconds; then the process is killed, and the sweeper tries once more
CELERY_TASK_SOFT_TIME_LIMIT = CELERY_TASK_TIME_LIMIT - 300
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default=REDIS_URL or "filesystem://")
CELERY_BROKER_TRANSPORT_OPTIONS = _broker(CELERY_BROKER_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1  # a killed worker of the file broker loses what it had fetched ahead
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False  # LOGGING below is the one form of lines
CELERY_RESULT_BACKEND = "django-db"
CELERY_TASK_IGNORE_RESULT = True  # the answer of a task is the row it wrote
CELERY_TASK_STORE_ERRORS_EVEN_IF_IGNORED = True
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE_FILENAME = env.str("CELERY_BEAT_SCHEDULE_FILENAME", default=str(VAR / "clock"))
with suppress(OSError):  # a read-only installation names another file
    Path(CELERY_BEAT_SCHEDULE_FILENAME).parent.mkdir(parents=True, exist_ok=True)
CELERY_BEAT_MAX_LOOP_INTERVAL = 5

# short in tests; a lease is renewed three times in its length
JOB_LEASE_SECONDS = env.float("JOB_LEASE_SECONDS", default=60.0)
JOB_RESEND_SECONDS = env.float("JOB_RESEND_SECONDS", default=300.0)  # a message older than that may be lost
# registries of models that versions may be taken from and given to: poc=http://…,mvp=https://…
MLFLOW_SERVERS = env.dict("MLFLOW_SERVERS", default={})
JOB_HELPERS = env.int("JOB_HELPERS", default=4)  # workers that may share one job
if min(JOB_LEASE_SECONDS, JOB_RESEND_SECONDS, JOB_HELPERS) <= 0:
    raise ImproperlyConfigured("JOB_LEASE_SECONDS, JOB_RESEND_SECONDS and JOB_HELPERS must be above 0.")

SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
SESSION_COOKIE_AGE = 12 * 3600  # seconds: a working day
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = not DEVELOPMENT
CSRF_COOKIE_SECURE = not DEVELOPMENT
CSRF_FAILURE_VIEW = "config.errors.csrf_failure"
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
SECURE_HSTS_SECONDS = 0 if DEVELOPMENT else 31_536_000
# subdomains and browsers' preload lists are for the owner of the domain to decide, not for one server in it
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=not DEVELOPMENT)
BEHIND_PROXY = env.bool("BEHIND_PROXY", default=False)  # a proxy of ours sets X-Forwarded-*; else anybody could
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.Backend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"

# sign-in: by user name, accounts are made by administrators, nothing is mailed
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]  # never shown: the adapter is closed
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_NOTIFICATIONS = False
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_SESSION_REMEMBER = False  # the session ends with the browser
ACCOUNT_REAUTHENTICATION_REQUIRED = True  # before a second factor is switched on or off
ALLAUTH_TRUSTED_PROXY_COUNT = int(BEHIND_PROXY)  # throttling counts by address
MFA_ADAPTER = "accounts.adapter.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Etalon"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ru", "Русский")]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
# in development the finders serve the files as they lie, so nothing needs collecting
STATIC_ROOT = env.str("STATIC_ROOT", default="" if DEVELOPMENT else str(BASE_DIR / "staticfiles")) or None
WHITENOISE_USE_FINDERS = DEVELOPMENT
WHITENOISE_AUTOREFRESH = DEBUG
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},  # unused: files go through ETALON_STORAGE
    "staticfiles": {
        "BACKEND": (
            "django.contrib.staticfiles.storage.StaticFilesStorage"
            if DEVELOPMENT
            else "whitenoise.storage.CompressedManifestStaticFilesStorage"
        )
    },
}

# What experts look at was written by attackers: nothing inline runs, nothing leaves for another host.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# limits of what a request may carry before anybody reads it; traffic has its own for files
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000
DATA_UPLOAD_MAX_NUMBER_FILES = 20
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024  # larger uploads go to a temporary file

FILE_UPLOAD_HANDLERS = [
    "config.upload_limits.BoundedUpload",  # refuses before a byte is kept
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]

# machines: every error is a problem detail (RFC 9457), times are UTC, what may be asked how often is counted per token
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.api.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.api.NobodyYet"],  # a view says itself whom it lets in
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_THROTTLE_CLASSES": ["accounts.api.PerToken"],
    "EXCEPTION_HANDLER": "drf_standardized_errors.handler.exception_handler",
    "NUM_PROXIES": int(BEHIND_PROXY),
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
DRF_STANDARDIZED_ERRORS = {
    "EXCEPTION_HANDLER_CLASS": "config.problems.ProblemHandler",
    "EXCEPTION_FORMATTER_CLASS": "config.problems.ProblemFormatter",
    "ENABLE_IN_DEBUG_FOR_UNHANDLED_EXCEPTIONS": True,
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Etalon",
    "DESCRIPTION": "What sensors, other expert systems and scripts may ask of this house. Times are UTC.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "config.problems.add_problems"],
}

LOGGING = logging_settings(as_json=not DEVELOPMENT, level=env.str("LOG_LEVEL", default="INFO"))
