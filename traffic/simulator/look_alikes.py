"""What is harmless and does not look so: what a model trained on attacks takes for one, and what rules stumble over."""

from __future__ import annotations

from traffic.simulator.attacks import RULES
from traffic.simulator.everyday import BROWSER_OUTSIDE
from traffic.simulator.vocabulary import (
    ALWAYS,
    ANSWERED,
    BINARY,
    HTML,
    JSON,
    OK,
    REFUSED,
    TEXT,
    XML,
    Activity,
    Page,
    Rhythm,
    Way,
)

_LESSONS = (
    "' OR '1'='1' --",
    "1 UNION SELECT username,password FROM users",
    "<script>alert('lesson ~p')</script>",
    "../../../../etc/passwd",
    "; cat /etc/passwd",
    "{{7*7}}",
)
_QUESTIONS = (
    "select * from ~w where ~w = ~n",
    "SELECT ~w, count(*) FROM sales_~w GROUP BY ~w ORDER BY 2 DESC",
    "select name from ~w union all select name from ~w",
    "SELECT * FROM ~w WHERE created >= '~d' AND status IN ('open','~w')",
)
_DOCUMENTED = (
    "how to escape <script> in ~w",
    "bash: /etc/passwd permission denied",
    "sql union select different columns",
    "curl | sh install ~w",
    "javascript alert() not working",
)
_FIRMWARE = (
    "wget http://packages.corp.example/fw-~v.bin -O /tmp/fw.bin;sh /tmp/fw.bin",
    "rm -rf /tmp/old; wget http://10.1.3.~p/firmware.img; chmod 755 firmware.img; reboot",
)

LOOK_ALIKES = (
    Activity(
        "training-site",
        (
            Page("GET", "/labs/sql-injection/~p?category=~P", HTML, 12_000, OK, 2, _LESSONS),
            Page("GET", "/labs/run?input=~P&step=~p", HTML, 9_000, OK, 2, _LESSONS),
            Page("POST", "/lessons/xss/check?answer=~P", JSON, 300, ALWAYS, 1, _LESSONS),
            Page("GET", "/lessons/path-traversal/view?file=~P", HTML, 8_000, OK, 1, _LESSONS),
        ),
        ("academy.training.example", "labs.training.example"),
        roles=("developer", "admin"),
        share=5,
        size=3,
        rule=RULES["sqli-union"],
    ),
    Activity(
        "query-tools",
        (
            Page("GET", "/api/datasources/proxy/~p/query?db=~w&q=~P&epoch=ms", JSON, 4_000, ALWAYS, 2, _QUESTIONS),
            Page("GET", "/bi/export?format=csv&sql=~P", "text/csv", 52_000, ALWAYS, 1, _QUESTIONS),
            Page("GET", "/issues/?jql=project+%3D+~w+AND+status+in+(Open,+%22In+Progress%22)+ORDER+BY+created", HTML),
        ),
        ("bi.corp", "dashboards.corp"),
        way=Way.INTERNAL,
        share=6,
        size=2,
        rule=RULES["sqli-union"],
    ),
    Activity(
        "word-search",
        (
            Page("GET", "/search?q=union+station+select+hotel+~w", HTML, 30_000),
            Page("GET", "/search?q=~P", HTML, 28_000, OK, 2, _DOCUMENTED),
            Page("GET", "/questions/~n/how-to-drop-table-from-~s", HTML, 47_000),
            Page("GET", "/man/5/passwd?dist=~w&file=/etc/passwd", HTML, 16_000),
        ),
        ("search.~w.example", "answers.example", "manpages.example"),
        share=5,
        size=2,
    ),
    Activity(
        "update-pings",
        (
            Page("GET", "/ping?d=~b&v=~v&k=~I", TEXT, 2, ALWAYS, 3),
            Page("POST", "/t/~h/~b", BINARY, 48, ALWAYS, 2),
            Page("POST", "/gate.php?id=~I&ver=~v", BINARY, 64, ALWAYS, 1),
        ),
        ("telemetry.~w-soft.example", "upd.toolbar.example"),
        ("Updater/~v", "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)", "WinHTTP/1.0", ""),
        rhythm=Rhythm.MACHINES,
        share=5,
        period=240,
        jitter=0.1,
        rule=RULES["c2-jackdaw"],
    ),
    Activity(
        "admin-tools",
        (
            Page("GET", "/phpmyadmin/sql.php?db=~w&table=~w&sql_query=~P", HTML, 21_000, OK, 2, _QUESTIONS),
            Page("POST", "/wp-admin/admin-ajax.php?action=heartbeat&_nonce=~h", JSON, 120, ALWAYS, 2),
            Page("POST", "/jenkins/scriptText?script=println+%22uptime%22.execute().text", TEXT, 200, ALWAYS, 1),
            Page("GET", "/cgi-bin/luci/;stok=~H/admin/status/exec?cmd=ifconfig", HTML, 5_000, OK, 1),
            Page("GET", "/adm/shell.php?host=web-~p&command=df+-h", HTML, 900, ALWAYS, 0.6),
        ),
        ("adm.corp", "router-~p.corp", "ci.corp"),
        roles=("admin",),
        way=Way.INTERNAL,
        share=4,
        size=2,
        rule=RULES["webshell-known"],
    ),
    Activity(
        "device-rollout",  # somebody's script brings new firmware to printers and routers
        (
            Page("GET", "/setup.cgi?todo=syscmd&cmd=~P&curpath=/", HTML, 3_500, REFUSED, 2, _FIRMWARE),
            Page("GET", "/shell?cd+/tmp;~P", HTML, 3_500, REFUSED, 1, _FIRMWARE),
        ),
        ("10.1.3.~p", "router-~p.corp"),
        ("curl/7.58.0",),
        ("admin", "server"),
        Way.INTERNAL,
        Rhythm.NIGHT,
        share=3,
        size=2,
        rule=RULES["device-commands"],
    ),
    Activity(
        "code-browsing",
        (
            Page("GET", "/~w/~s/-/raw/main/.env.example", TEXT, 700, OK),
            Page("GET", "/~w/~s/-/blob/main/src/eval.php?ref=../~w", HTML, 14_000, OK),
            Page("GET", "/~w/~s/-/raw/main/deploy/install.sh", TEXT, 3_000, OK),
            Page("GET", "/~w/~s/-/blob/main/tests/fixtures/xss%3Cscript%3E.html", HTML, 9_000, OK),
        ),
        ("git.corp",),
        roles=("developer",),
        way=Way.INTERNAL,
        share=3,
        size=2,
    ),
    Activity(
        "mail-templates",
        (
            Page("GET", "/promo/~w?name={{first_name}}&email={{email}}&c=~n", HTML, 17_000),
            Page("GET", "/click?u=http%3A%2F%2F~w.example%2F%3Fredirect%3Dhttp%3A%2F%2F~w.example&h=${hash}", HTML, 0),
        ),
        ("news.~w.example",),
        roles=("office", "phone"),
        share=2,
    ),
    Activity(
        "own-scans",  # ordered, announced in the user agent, and hit by rules as any other scan
        (
            Page("GET", "/?id=~P", HTML, 900, REFUSED, 2, (*_LESSONS, "1 AND SLEEP(5)")),
            Page("GET", "/.git/config", TEXT, 400, REFUSED),
            Page("GET", "/cgi-bin/test.cgi?cmd=id", HTML, 400, REFUSED),
            Page("POST", "/xmlrpc.php", XML, 500, REFUSED),
        ),
        ("wiki.corp", "erp.corp", "tracker.corp"),
        ("CorpSecScan/2.3 (authorised; ticket SEC-~n; +http://wiki.corp.example/security-checks)",),
        ("scanner",),
        Way.INTERNAL,
        Rhythm.NIGHT,
        share=3,
        size=3,
        burst=60,
        rule=RULES["scan-nikto"],
    ),
)

# a security vendor's own public site: people ask it about attacks, in the words of attacks
VENDOR_SITE = (
    Activity(
        "site-search",
        (
            Page("GET", "/search?q=~P&page=~p", HTML, 22_000, OK, 3, (*_DOCUMENTED, *_LESSONS)),
            Page("GET", "/support/article.php?id=~n&highlight=~P", HTML, 27_000, OK, 2, (*_DOCUMENTED, *_LESSONS)),
            Page("GET", "/products/~s?utm_content={{ad.id}}&utm_term=union+select", HTML, 44_000),
        ),
        agents=BROWSER_OUTSIDE,
        way=Way.IN,
        rhythm=Rhythm.PUBLIC,
        share=10,
        size=2,
        rule=RULES["xss-script"],
    ),
    Activity(
        "sandbox-checks",
        (
            Page("GET", "/api/v1/check?url=~P", JSON, 640, ALWAYS, 2, ("http://~w.test/?id=~p' or 1=1--", *_LESSONS)),
            Page("GET", "/api/v1/check?url=http%3A%2F%2F~w.test%2F~h.exe&cmd=rescan", JSON, 640, ALWAYS, 1),
        ),
        agents=("PartnerConnector/2.8 (+https://partner.example)", "python-requests/2.31.0"),
        way=Way.IN,
        rhythm=Rhythm.MACHINES,
        share=5,
        rule=RULES["parameter-commands"],
    ),
)

# what only some customers have: why a model that is right at home may be wrong there
_TITLES = (
    "' OR 1=1 -- a hacker's handbook",
    "<script>alert('JavaScript for children')</script>",
    "UNION SELECT: labour history of ~w",
    "SLEEP(8) - sounds of the ~w",
)
SHOP_WORDS = Activity(
    "book-titles",
    (
        Page("GET", "/search?q=~P&page=~p", HTML, 22_000, ANSWERED, 3, _TITLES),
        Page("GET", "/catalog?order=price+desc,--+id&filter=(~w)*(~w)", HTML, 41_000),
    ),
    agents=BROWSER_OUTSIDE,
    way=Way.IN,
    rhythm=Rhythm.PUBLIC,
    share=10,
    size=2,
    rule=RULES["sqli-logic"],
)
PUMPS = Activity(
    "infusion-pumps",  # old devices that ask their station as malware asks its master
    (Page("POST", "/panel/gate.php?dev=~I&os=5.1&av=0", HTML, 24, ALWAYS),),
    ("10.1.7.~p", "station~h.corp"),
    ("Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 5.1)",),
    ("server",),
    Way.INTERNAL,
    Rhythm.MACHINES,
    share=10,
    period=300,
    jitter=0.05,
    rule=RULES["c2-jackdaw"],
)
HEALTH_MESSAGES = Activity(
    "health-messages",
    (
        Page("GET", "/hl7?msg=MSH|^~\\&|LAB|~w|~n||ORU^R01|~n|P|2.5", TEXT, 300, ALWAYS),
        Page("GET", "/search?filter=(%26(name=~w)(ward=~p))", JSON, 2_000, ALWAYS),
    ),
    ("hl7.corp",),
    ("ClinicClient/5.4 (.NET CLR 4.0.30319)",),
    way=Way.INTERNAL,
    share=8,
)
MACHINE_COMMANDS = Activity(
    "machine-commands",
    (
        Page("GET", "/cgi-bin/exec.cgi?cmd=start&unit=~p;speed=~n", TEXT, 20, ALWAYS, 2),
        Page("GET", "/goform/formSysCmd?sysCmd=reboot+line~p", HTML, 90, ALWAYS),
        Page("GET", "/download?file=../recipes/~w.rcp", BINARY, 4_000, ALWAYS),
    ),
    ("plc-~p.corp",),
    ("PanelView/3.0", "libwww-perl/6.05"),
    ("office", "server"),
    Way.INTERNAL,
    Rhythm.MACHINES,
    share=10,
    port=8080,
    rule=RULES["device-commands"],
)
