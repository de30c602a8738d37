"""What is counted in HTTP sessions."""

from __future__ import annotations

import string

from detection.recipes import CONTROL, ByteClass, Recipe, byte_class, group

CLASSES = (
    byte_class("digits", "digits", string.digits),
    byte_class("upper", "capital letters", string.ascii_uppercase),
    byte_class("vowels", "vowels", "aeiouAEIOU"),
    byte_class("hex", "hexadecimal digits", string.hexdigits),
    byte_class("dots", "dots", "."),
    byte_class("slashes", "slashes", "/\\"),
    byte_class("percents", "percent signs", "%"),
    byte_class("delimiters", "parameter delimiters", "&=;?"),
    byte_class("dashes", "dashes and underscores", "-_"),
    byte_class("punctuation", "punctuation", string.punctuation),
    byte_class("spaces", "spaces", " "),
    ByteClass("non_printable", "non-printable bytes", frozenset((*CONTROL, *range(0x80, 0xFF)))),
)
# Single bytes of the decoded request target: classes without a common byte.
DECODED_CLASSES = (
    byte_class("quotes", "quotes", "'\"`"),
    byte_class("angles", "angle brackets", "<>"),
    byte_class("parentheses", "parentheses", "()"),
    byte_class("braces", "braces and dollar signs", "{}$"),
    byte_class("pipes", "semicolons, pipes and exclamation marks", ";|!"),
    byte_class("spaces", "spaces", " \t\r\n"),
    byte_class("commas", "commas", ","),
    byte_class("stars", "asterisks and hashes", "*#"),
    byte_class("backslashes", "backslashes", "\\"),
    ByteClass("high", "bytes outside ASCII", frozenset(range(0x80, 0xFF))),
    ByteClass("control", "control bytes", frozenset(set(CONTROL) - set(b"\t\r\n"))),
)
URI_NEEDLES = (
    group("double_encoding", "double encoding", "%25"),
    group("encoded_traversal", "encoded traversal", "%2e", "%2f", "%5c", "%c0%", "%u00"),
    group("encoded_quotes", "encoded quotes and brackets", "%27", "%22", "%3c", "%3e", "%28"),
    group("encoded_zero", "encoded zero or line break", "%00", "%0a", "%0d"),
)
ATTACKS = (
    group("lookup", "lookups", "${", "jndi:", "#{", "{{"),
    group("script", "script in markup", "<script", "<svg", "<img", "<iframe", "javascript:"),
    group("function", "shell function", "() {", "(){"),
    group("sql", "SQL words", "select", "union", "' or", "sleep(", "1=1"),
    group("traversal", "path traversal", "../", "..\\"),
    group("system_file", "system files", "/etc/", "/proc/self", "win.ini"),
    group("shell", "shell commands", "/bin/", ";wget", "curl ", "wget ", "powershell", "cmd.exe"),
)
DECODED_NEEDLES = (
    *ATTACKS[:3],
    group("handlers", "event handlers in markup", "onerror", "onload", "onmouse", "onclick", "onfocus"),
    group("script_calls", "script calls", "alert(", "prompt(", "confirm(", "document.", "eval("),
    group("sql_read", "SQL reads", "select ", "select/", " from ", "union ", "union/", "union all"),
    group("sql_write", "SQL writes", "insert ", "update ", "delete ", "drop ", "create "),
    group("sql_logic", "SQL conditions", "' or", "' and", '" or', " or 1", " and 1", "1=1", "or '", "having "),
    group("sql_timing", "SQL delays", "sleep(", "benchmark(", "waitfor", "pg_sleep"),
    group("sql_schema", "SQL schema", "information_schema", "sysobjects", "@@version", "concat(", "char(", "0x"),
    group("sql_comment", "SQL comments", "--", "/*", "*/"),
    group("traversal", "path traversal", "../", "..\\", "./."),
    group("system_file", "system files", "/etc/passwd", "/etc/", "/proc/self", "boot.ini", "win.ini", "/windows/"),
    group("shell", "shell commands", "/bin/", "cmd.exe", "powershell", ";wget", "wget ", "curl ", "chmod ", "busybox"),
    group("shell_pipe", "shell chaining", "&&", "||", "|nc", ";cat", ";ls", ";id", "|id", "$("),
    group("temp_files", "temporary files", "/tmp/", "/var/", "/dev/"),  # noqa: S108
    group("command", "command parameters", "cmd=", "exec=", "command=", "shell=", "ping=", "execute"),
    group("file_parameter", "file parameters", "file=", "path=", "page=", "include=", "template=", "dir="),
    group("url_parameter", "addresses in parameters", "=http", "=ftp", "=//", "url=", "redirect", "php://", "file://"),
    group("code", "code in parameters", "<?php", "system(", "passthru", "assert(", "base64_", "phpinfo", "<%"),
    group("template", "template expressions", "}}", "%{", "ognl", "class."),
    group("object", "serialised objects", "ro0ab", "o:4:", "java.", "runtime", "getclass"),
    group("directory", "directory queries", "*)(", "(|(", "(&(", "objectclass"),
    group("markup", "documents in parameters", "<!doctype", "<!entity", "<?xml", "xmlns"),
    group("header", "header injection", "\r\n", "\nset-cookie", "\nlocation"),
    group("credentials", "credentials in parameters", "passw", "pwd=", "token=", "login", "user="),
    group("admin", "administration paths", "admin", "setup", "config", "manager", "/wp-", "cgi-bin", "console"),
    group("hidden", "hidden files", "/.git", "/.env", "/.svn", "/.ht", "/.aws", "/.ssh", ".bak", ".sql"),
    group("ext_script", "server scripts", ".php", ".asp", ".jsp", ".cgi", ".pl", ".do", ".action"),
    group("ext_program", "programs", ".exe", ".dll", ".bat", ".ps1", ".sh", ".msi", ".scr", ".hta", ".vbs", ".jar"),
    group("ext_archive", "archives", ".zip", ".rar", ".7z", ".gz", ".cab", ".bin", ".apk", ".dat"),
    group("ext_page", "pages and pictures", ".htm", ".js", ".css", ".png", ".jpg", ".gif", ".ico", ".svg", ".woff"),
    group("api", "programming interfaces", "/api", "/v1", "/v2", "json", "graphql", "soap", "xmlrpc"),
)
METHODS = (
    group("get", "GET", "get"),
    group("post", "POST", "post"),
    group("head", "HEAD", "head"),
    group("put", "PUT, PATCH or DELETE", "put", "patch", "delete"),
    group("options", "OPTIONS or TRACE", "options", "trace"),
    group("connect", "CONNECT", "connect"),
    group("webdav", "file sharing methods", "propfind", "mkcol", "move", "copy", "search", "lock"),
)
CONTENT_TYPES = (
    group("html", "a page", "html"),
    group("text", "plain text", "text/plain"),
    group("json", "JSON or XML", "json", "xml"),
    group("script", "a script", "javascript", "ecmascript"),
    group("picture", "a picture or font", "image/", "font", "css"),
    group("media", "sound or video", "video/", "audio/"),
    group("binary", "a binary", "octet-stream", "x-ms", "dos", "exec", "download"),
    group("archive", "an archive", "zip", "gzip", "tar", "compressed"),
    group("form", "a form", "form"),
)
REFERERS = (*ATTACKS[:4], group("secure", "an https page", "https://"))

HTTP = Recipe(
    titles={
        "uri": "request target",
        "host": "host name",
        "user_agent": "user agent",
        "uri_decoded": "decoded request target",
        "referer": "referring page",
        "content_type": "content type",
        "method": "method",
        "status": "response status",
        "response_bytes": "response body, bytes",
        "dst_port": "server port",
    },
    histograms=("uri", "host", "user_agent"),
    classes=CLASSES,
    needles={
        "uri": URI_NEEDLES,
        "user_agent": ATTACKS,
        "uri_decoded": DECODED_NEEDLES,
        "referer": REFERERS,
        "content_type": CONTENT_TYPES,
        "method": METHODS,
    },
    single_bytes={"uri_decoded": DECODED_CLASSES},
)
