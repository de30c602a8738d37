"""What is harmless and looks so: internal applications, the web, updates, crawlers, monitoring."""

from __future__ import annotations

from traffic.simulator.vocabulary import (
    ALWAYS,
    BINARY,
    HTML,
    JPEG,
    JSON,
    OK,
    SCRIPT,
    STATIC,
    STYLE,
    TEXT,
    XML,
    Activity,
    Page,
    Rhythm,
    Rule,
    Way,
)

ASSETS = (
    Page("GET", "/static/js/app.~h.js", SCRIPT, 90_000, STATIC, 1.5),
    Page("GET", "/static/css/main.~h.css", STYLE, 24_000, STATIC, 1.0),
    Page("GET", "/img/~s.jpg", JPEG, 42_000, STATIC, 2.0),
    Page("GET", "/assets/icons/~w.svg", "image/svg+xml", 1_800, STATIC, 0.8),
    Page("GET", "/favicon.ico", "image/x-icon", 4_286, STATIC, 0.4),
    Page("GET", "/fonts/~w-~p.woff2", "font/woff2", 28_000, STATIC, 0.4),
)

# rules of no attack; they speak about things that are merely worth a remark
CURL = Rule(1_300_001, "ET POLICY curl User-Agent Outbound", "attempted-recon")
PYTHON = Rule(1_300_002, "ET POLICY Python-urllib/ Suspicious User Agent", "policy-violation")
PROGRAM = Rule(1_300_003, "ET POLICY PE EXE or DLL Windows file download HTTP", "policy-violation", True)
ADDRESS_LOOKUP = Rule(1_300_004, "ET POLICY External IP Lookup ip-check.example", "external-ip-check")
REQUESTS_IN = Rule(1_300_005, "ET INFO User-Agent (python-requests) Inbound to Webserver", "misc-activity")
BASIC_AUTH = Rule(1_300_006, "ET POLICY Outgoing Basic Auth Base64 HTTP Password detected unencrypted", "misc-activity")
TELEGRAM_SEEN = Rule(1_300_007, "ET INFO Observed Telegram Domain in HTTP Host", "misc-activity")
UPDATER = Rule(1_300_008, "ET INFO Packed Executable Download", "misc-activity", True)
SHELL_TYPE = Rule(
    1_300_009, "ET HUNTING Observed Interesting Content-Type Inbound (application/x-sh)", "bad-unknown", True
)
ODDITIES = (
    Rule(2_221_010, "SURICATA HTTP unable to match response to request", "protocol-command-decode", True),
    Rule(2_221_014, "SURICATA HTTP missing Host header", "protocol-command-decode"),
    Rule(2_221_021, "SURICATA HTTP response header invalid", "protocol-command-decode", True),
    Rule(2_221_029, "SURICATA HTTP URI terminated by non-compliant character", "protocol-command-decode"),
    Rule(2_221_033, "SURICATA HTTP Request abnormal Content-Encoding header", "protocol-command-decode"),
)
REPUTATION = (
    Rule(1_300_020, "ET CINS Active Threat Intelligence Poor Reputation IP group 36", "misc-attack"),
    Rule(1_300_021, "ET CINS Active Threat Intelligence Poor Reputation IP group 86", "misc-attack"),
    Rule(1_300_022, "ET DROP Dshield Block Listed Source group 1", "misc-attack"),
)

INTERNAL = (
    Activity(
        "wiki",
        (
            Page("GET", "/spaces/~w/pages/~n/~s", HTML, 26_000, OK, 3),
            Page("GET", "/rest/api/content/~n?expand=body.storage,version", JSON, 7_000),
            Page("GET", "/search?text=~q&where=~w", HTML, 19_000),
            Page("PUT", "/rest/api/content/~n", JSON, 1_200),
            *ASSETS,
        ),
        ("wiki.corp", "docs.corp"),
        way=Way.INTERNAL,
        share=8,
        size=4,
    ),
    Activity(
        "tracker",
        (
            Page("GET", "/browse/PRJ-~n", HTML, 31_000, OK, 2),
            Page("GET", "/rest/api/2/issue/PRJ-~n?fields=summary,status,assignee", JSON, 3_400, OK, 2),
            Page("POST", "/rest/api/2/issue/PRJ-~n/comment", JSON, 900, ((201, 1),)),
            Page("GET", "/secure/Dashboard.jspa?selectPageId=~n", HTML, 22_000),
            *ASSETS[:3],
        ),
        ("tracker.corp",),
        way=Way.INTERNAL,
        share=7,
        size=3,
    ),
    Activity(
        "webmail",
        (
            Page("POST", "/owa/service.svc?action=GetItem&EP=1&ID=-~n&AC=1", JSON, 9_500, ALWAYS, 3),
            Page("POST", "/owa/ev.owa2?ns=PendingRequest&ev=PendingNotificationRequest", TEXT, 320, ALWAYS, 2),
            Page("GET", "/owa/prem/~v/scripts/boot.~w.js", SCRIPT, 140_000, STATIC),
            Page("POST", "/Microsoft-Server-ActiveSync?Cmd=Ping&DeviceId=~H&DeviceType=phone", BINARY, 60),
        ),
        ("mail.corp",),
        way=Way.INTERNAL,
        share=7,
        size=3,
    ),
    Activity(
        "erp",
        (
            Page("POST", "/erp/ws/documents.1cws", XML, 5_200, ALWAYS, 2),
            Page("GET", "/erp/ru_RU/e1cib/list?ref=~H&page=~p", HTML, 14_000, OK, 2),
            Page("POST", "/erp/e1cib/logForm?cmd=run&id=~u", JSON, 1_700, ALWAYS),
            Page("GET", "/erp/reports/sales.aspx?from=~d&to=~d&warehouse=~n&format=xlsx", BINARY, 88_000),
        ),
        ("erp.corp",),
        way=Way.INTERNAL,
        share=6,
        size=2.5,
    ),
    Activity(
        "ktalk",
        (
            Page("POST", "/api/rooms/~u/events?since=~n", JSON, 700, ALWAYS, 4),
            Page("GET", "/api/rooms/~u/participants?limit=100", JSON, 2_300, ALWAYS),
            Page("POST", "/api/conference/~u/ice-candidates", JSON, 250, ((204, 1),)),
            Page("GET", "/recordings/~u/preview.jpg", JPEG, 26_000, STATIC),
            Page("GET", "/client/update/win64/latest.json?v=~v", JSON, 420, ALWAYS, 0.4),
        ),
        ("ktalk.corp", "media.ktalk.corp"),
        ("ktalk/3.2.1 (Windows NT 10.0; x64) Electron/28.1.0", "ktalk/3.1.8 (Macintosh) Electron/27.3.2"),
        way=Way.INTERNAL,
        share=7,
        size=2,
        tls=1.2,
    ),
    Activity(
        "git",
        (
            Page("GET", "/~w/~s.git/info/refs?service=git-upload-pack", "application/x-git-upload-pack-advertisement"),
            Page("POST", "/~w/~s.git/git-upload-pack", "application/x-git-upload-pack-result", 64_000, ALWAYS),
            Page("GET", "/~w/~s/-/merge_requests/~n/diffs.json?view=inline", JSON, 18_000),
        ),
        ("git.corp",),
        ("git/2.43.0", "git/2.39.3 (Apple Git-146)"),
        ("developer",),
        Way.INTERNAL,
        share=3,
        size=2,
    ),
    Activity(
        "packages",
        (
            Page("GET", "/simple/~w-~w/", HTML, 4_000, ALWAYS, 2),
            Page("GET", "/packages/~h/~w_~w-~v-py3-none-any.whl", BINARY, 220_000, ALWAYS),
            Page("GET", "/npm/@corp%2f~w", JSON, 12_000, ALWAYS),
            Page("GET", "/v2/~w/~w/blobs/sha256:~H~H", BINARY, 900_000, ALWAYS, 0.4),
        ),
        ("packages.corp",),
        ('pip/24.0 {"ci":true}', "npm/10.2.4 node/v20.11.0 linux x64", "docker/25.0.3 go/go1.21.6"),
        ("developer", "server"),
        Way.INTERNAL,
        Rhythm.MACHINES,
        share=3,
        size=3,
        noise=(SHELL_TYPE,),
    ),
    Activity(
        "monitoring",
        (
            Page("GET", "/health", JSON, 34, ALWAYS, 3),
            Page("GET", "/metrics", TEXT, 48_000, ALWAYS, 3),
            Page("GET", "/api/v1/query?query=up&time=~n", JSON, 800, ALWAYS),
            Page("HEAD", "/", None, 0, ALWAYS),
        ),
        ("wiki.corp", "tracker.corp", "erp.corp", "mail.corp", "git.corp"),
        ("Prometheus/2.49.1", "Zabbix", "kube-probe/1.28", "Blackbox Exporter/0.24.0"),
        ("server",),
        Way.INTERNAL,
        Rhythm.MACHINES,
        share=7,
        port=8080,
        period=30,
        jitter=0.02,
    ),
    Activity(
        "printers",
        (Page("POST", "/ipp/print", "application/ipp", 180, ALWAYS), Page("GET", "/hp/device/status?n=~p", XML, 700)),
        ("printer-~p.corp",),
        ("CUPS/2.4.7 IPP/2.0", "Windows-IPP/1.0"),
        way=Way.INTERNAL,
        share=1,
        port=631,
    ),
)

OUTSIDE = (
    Activity(
        "browsing",
        (
            Page("GET", "/", HTML, 48_000, OK, 2),
            Page("GET", "/news/~d/~s", HTML, 61_000, OK, 2),
            Page("GET", "/article/~n-~s.html?from=main", HTML, 55_000, OK, 1),
            Page("GET", "/search?q=~q&page=~p", HTML, 33_000, OK, 1),
            Page("GET", "/product/~s?color=~w&size=~p", HTML, 40_000, OK, 1),
            Page("POST", "/api/v2/cart/items", JSON, 640, ((200, 9), (201, 1)), 0.4),
            Page("GET", "/user/login?next=/~w", HTML, 7_000, OK, 0.2),
            *ASSETS,
        ),
        share=28,
        size=6,
    ),
    Activity(
        "advertising",
        (
            Page("GET", "/pixel.gif?cid=~u&ev=view&r=~n&u=http%3A%2F%2F~w.example%2F~s", "image/gif", 43, ALWAYS, 3),
            Page("GET", "/sync?partner=~w&uid=~H&redirect=~p", HTML, 0, ((302, 1),)),
            Page("POST", "/collect?v=2&tid=G-~h&_p=~n&sr=1920x1080&ul=en-us&en=page_view", None, 0, ((204, 1),), 2),
            Page("GET", "/bid?req=~b&w=300&h=250", JSON, 900, ALWAYS),
        ),
        ("ads.~w.example", "stats.counter.example", "metrics.tag.example"),
        share=9,
        size=1.5,
    ),
    Activity(
        "telegram",
        (
            Page("POST", "/apiw1", BINARY, 240, ALWAYS, 4),
            Page("POST", "/api", BINARY, 1_800, ALWAYS, 2),
            Page("GET", "/file/~n_~n_~n.jpg", JPEG, 31_000, ALWAYS),
        ),
        ("venus.web.telegram.example", "pluto.web.telegram.example", "cdn.telegram.example"),
        ("TelegramDesktop/4.14.9 (Windows 10)", "Telegram/10.6 (iPhone; iOS 17.2)", ""),
        ("office", "developer", "phone"),
        share=5,
        size=2,
        tls=1.5,
        noise=(TELEGRAM_SEEN,),
    ),
    Activity(
        "updates",
        (
            Page("GET", "/d/msdownload/update/software/secu/2026/03/windows10.0-kb~n-x64_~H.cab", BINARY, 1_400_000),
            Page("HEAD", "/d/msdownload/update/software/defu/2026/03/am_delta_~H.exe", BINARY, 0, ALWAYS),
            Page("GET", "/debian/dists/stable/main/binary-amd64/by-hash/SHA256/~H~H", BINARY, 52_000, OK, 2),
            Page("GET", "/pool/main/~w/~w_~v_amd64.deb", "application/vnd.debian.binary-package", 320_000),
            Page("GET", "/av/bases/u~n.upd", BINARY, 86_000, OK, 2),
        ),
        ("download.updates.example", "deb.mirror.example", "av.vendor.example"),
        (
            "Microsoft-Delivery-Optimization/10.1",
            "Debian APT-HTTP/1.3 (2.6.1)",
            "AVUpdater/~v",
            "Windows-Update-Agent/10",
        ),
        ("office", "developer", "admin", "server"),
        rhythm=Rhythm.NIGHT,
        share=7,
        size=2.5,
        noise=(PROGRAM, UPDATER),
    ),
    Activity(
        "certificates",
        (
            Page("GET", "/MFEwTzBNMEswSTAJBgUrDgMCGgUABBT~b", "application/ocsp-response", 471, ALWAYS, 2),
            Page("POST", "/", "application/ocsp-response", 471, ALWAYS),
            Page("GET", "/~w-ca-~p.crl", "application/pkix-crl", 3_100, ALWAYS),
        ),
        ("ocsp.~w-trust.example", "crl.authority.example"),
        ("Microsoft-CryptoAPI/10.0",),
        ("office", "server"),
        share=4,
    ),
    Activity(
        "online-check",
        (Page("GET", "/generate_204", None, 0, ((204, 1),)), Page("GET", "/connecttest.txt", TEXT, 22, ALWAYS)),
        ("online.check.example",),
        ("Microsoft NCSI", "Dalvik/2.1.0 (Linux; U; Android 13)"),
        ("office", "phone"),
        share=3,
    ),
    Activity(
        "scripts",
        (
            Page("GET", "/api/v1/~w?limit=~p&offset=~n", JSON, 5_000, OK, 3),
            Page("POST", "/api/v1/~w", JSON, 500, ((201, 1),)),
            Page("GET", "/~w/~w/releases/download/v~v/~w-linux-amd64.tar.gz", BINARY, 4_200_000, ALWAYS, 0.6),
            Page("GET", "/install.sh", "application/x-sh", 9_000, ALWAYS, 0.3),
            Page("GET", "/json/", JSON, 290, ALWAYS, 0.4),
        ),
        ("api.~w.example", "code.hosting.example", "ip-check.example"),
        ("curl/8.5.0", "python-requests/2.31.0", "Wget/1.21.4", "Go-http-client/1.1", "okhttp/4.12.0"),
        ("developer", "admin", "server"),
        share=4,
        size=1.5,
        noise=(CURL, PYTHON, ADDRESS_LOOKUP, BASIC_AUTH),
    ),
    Activity(
        "video",
        (
            Page("GET", "/hls/~u/~p/segment-~n.ts", "video/mp2t", 700_000, ALWAYS, 5),
            Page("GET", "/hls/~u/index.m3u8", "application/vnd.apple.mpegurl", 1_500, ALWAYS),
        ),
        ("edge-~p.video.example",),
        roles=("office", "phone"),
        share=3,
        size=5,
    ),
)

BROWSER_OUTSIDE = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/121.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.3 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; SM-A546B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/121.0.0.0 Mobile "
    "Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:122.0) Gecko/20100101 Firefox/122.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 "
    "Safari/605.1.15",
)

PUBLISHED = (
    Activity(
        "visitors",
        (
            Page("GET", "/", HTML, 38_000, OK, 2),
            Page("GET", "/products/~s", HTML, 44_000, OK, 2),
            Page("GET", "/support/article.php?id=~n", HTML, 27_000, OK, 1),
            Page("GET", "/search?q=~q", HTML, 22_000, OK, 1),
            Page("POST", "/contact/send", JSON, 200, ALWAYS, 0.2),
            Page("POST", "/account/login", HTML, 2_100, ((302, 7), (200, 3)), 0.3),
            *ASSETS,
        ),
        agents=BROWSER_OUTSIDE,
        way=Way.IN,
        rhythm=Rhythm.PUBLIC,
        share=14,
        size=5,
    ),
    Activity(
        "crawlers",
        (
            Page("GET", "/robots.txt", TEXT, 310, ALWAYS, 0.5),
            Page("GET", "/sitemap-~p.xml", XML, 61_000, ALWAYS, 0.4),
            Page("GET", "/products/~s", HTML, 44_000, ((200, 8), (404, 2)), 4),
            Page("GET", "/products/~s?sort=price&page=~p", HTML, 40_000, OK, 2),
        ),
        agents=(
            "Mozilla/5.0 (compatible; ExampleBot/2.1; +http://bot.example/about)",
            "Mozilla/5.0 (compatible; SearchSpider/4.0; +http://spider.test/)",
            "LinkPreview/1.2",
            "Mozilla/5.0 (compatible; SeoCrawler/7; +https://seo.example/crawler)",
        ),
        way=Way.IN,
        rhythm=Rhythm.MACHINES,
        share=5,
        size=3,
        burst=40,
    ),
    Activity(
        "partners",
        (
            Page("POST", "/api/v1/orders", JSON, 800, ((201, 9), (409, 1)), 2),
            Page("GET", "/api/v1/stock?sku=~n&region=~w", JSON, 1_200, ALWAYS, 3),
            Page("GET", "/api/v1/orders/~u", JSON, 2_100, OK),
        ),
        agents=("PartnerConnector/2.8 (+https://partner.example)", "python-requests/2.31.0", "Java/17.0.9"),
        way=Way.IN,
        rhythm=Rhythm.MACHINES,
        share=4,
        size=2,
        noise=(REQUESTS_IN,),
    ),
)

EVERYDAY = (*INTERNAL, *OUTSIDE, *PUBLISHED)

# what only some customers have
STOREFRONT = Activity(
    "storefront",
    (
        Page("GET", "/catalog/~s?filter%5Bprice%5D%5B%5D=~n-~n&sort=popular", HTML, 52_000, OK, 3),
        Page("GET", "/catalog/suggest?q=~w", JSON, 1_400, ALWAYS, 2),
        Page("POST", "/checkout/step/~p", JSON, 900, ALWAYS),
        Page("GET", "/media/~p/~H.jpg", JPEG, 38_000, STATIC, 3),
    ),
    agents=BROWSER_OUTSIDE,
    way=Way.IN,
    rhythm=Rhythm.PUBLIC,
    share=45,
    size=6,
)
RECORDS = Activity(
    "patient-records",
    (
        Page("GET", "/fhir/Patient/~n/_history/~p", "application/fhir+json", 5_400, OK, 3),
        Page("GET", "/fhir/Observation?patient=~n&code=http://loinc.example|8480-6&date=ge~d", JSON, 8_800, OK, 2),
        Page("GET", "/wado?requestType=WADO&studyUID=1.2.840.~n.~n.~n&contentType=image/jpeg", JPEG, 240_000),
    ),
    ("fhir.corp", "pacs.corp"),
    ("Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko", "ClinicClient/5.4 (.NET CLR 4.0.30319)"),
    way=Way.INTERNAL,
    share=35,
    size=3,
)
PANELS = Activity(
    "machine-panels",
    (
        Page("GET", "/awp/panel/values.htm?tag=~w_~p&t=~n", HTML, 900, ALWAYS, 4),
        Page("POST", "/cgi-bin/write.cgi", TEXT, 40, ALWAYS),
        Page("GET", "/trend.csv?line=~p&from=~d", "text/csv", 14_000, ALWAYS),
        Page("GET", "/mes/order/~n/status", JSON, 450, ALWAYS, 2),
    ),
    ("plc-~p.corp", "mes.corp"),
    ("PanelView/3.0", "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 5.1; Trident/4.0)", "libwww-perl/6.05"),
    ("office", "server"),
    Way.INTERNAL,
    Rhythm.MACHINES,
    share=40,
    size=2,
    port=8080,
)
