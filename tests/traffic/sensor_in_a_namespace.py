"""A company of one machine, for tests: a web server, its visitors and a Suricata that watches them.

Runs as a program in a network namespace of its own (`unshare --net python sensor_in_a_namespace.py FOLDER`), so that
its loopback carries nothing else. Suricata writes into a file and into a Redis, every packet goes into a capture.
"""

from __future__ import annotations

import http.client
import http.server
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

WEB, SECURE, REDIS = 8080, 8443, 6379
PACKET_OUTGOING = 4  # loopback shows every packet twice
ETHERNET = 1
TARGETS = (
    "/",
    "/news/article-7?page=2",
    "/cgi-bin/view?file=../../../../etc/passwd",
    "/search?q=%3Cscript%3Ealert(1)%3C/script%3E",
    "/item?id=1%27%20UNION%20SELECT%20user,password%20FROM%20users--",
    "/index.php?cmd=/bin/bash%20-i",
    "/missing",
)
CONFIG = """%YAML 1.1
---
vars:
  address-groups: {{HOME_NET: "[127.0.0.0/8]", EXTERNAL_NET: any, HTTP_SERVERS: $HOME_NET, SMTP_SERVERS: $HOME_NET,
    SQL_SERVERS: $HOME_NET, DNS_SERVERS: $HOME_NET, TELNET_SERVERS: $HOME_NET, AIM_SERVERS: $EXTERNAL_NET,
    DC_SERVERS: $HOME_NET, DNP3_SERVER: $HOME_NET, DNP3_CLIENT: $HOME_NET, MODBUS_CLIENT: $HOME_NET,
    MODBUS_SERVER: $HOME_NET, ENIP_CLIENT: $HOME_NET, ENIP_SERVER: $HOME_NET}}
  port-groups: {{HTTP_PORTS: "[80,8080]", SHELLCODE_PORTS: "!80", ORACLE_PORTS: 1521, SSH_PORTS: 22, DNP3_PORTS: 20000,
    MODBUS_PORTS: 502, FILE_DATA_PORTS: "[$HTTP_PORTS,110,143]", FTP_PORTS: 21, GENEVE_PORTS: 6081, VXLAN_PORTS: 4789,
    TEREDO_PORTS: 3544}}
classification-file: /etc/suricata/classification.config
reference-config-file: /etc/suricata/reference.config
default-rule-path: {folder}
rule-files: [sensor.rules]
logging: {{outputs: [{{file: {{enabled: yes, level: info, filename: suricata.log}}}}]}}
outputs:
{outputs}
af-packet: [{{interface: lo, threads: 1, cluster-id: 99, cluster-type: cluster_flow, checksum-checks: no,
  tpacket-v3: yes, block-size: 1048576, ring-size: 20000}}]
stream: {{checksum-validation: no, midstream: false}}
app-layer:
  protocols:
    http: {{enabled: yes}}
    tls: {{enabled: yes, detection-ports: {{dp: "443, 8443"}}, ja3-fingerprints: yes}}
"""
EVE = """  - eve-log:
      enabled: yes
      {where}
      community-id: true
      types: [alert, {{http: {{extended: yes}}}}, {{files: {{force-magic: no}}}}, {{tls: {{extended: yes}}}}, flow]
"""
TO_FILE = "filetype: regular\n      filename: {name}"
TO_REDIS = "filetype: redis\n      redis: {server: 127.0.0.1, port: 6379, mode: list, key: suricata}"


def write_config(path: Path, *wheres: str) -> Path:
    """Write a configuration of Suricata whose rules lie in `sensor.rules` beside it."""
    path.write_text(CONFIG.format(folder=path.parent, outputs="".join(EVE.format(where=where) for where in wheres)))
    return path


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b"nothing here" if self.path == "/missing" else b"<html><body>hello</body></html>"
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


def serve(port: int, certificate: Path | None = None) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Page)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def visit(certificate: Path | None) -> int:
    """Come again and again; some keep their connection, some attack. Return the requests."""
    requests = 0
    for number in range(40):
        connection = http.client.HTTPConnection("127.0.0.1", WEB, timeout=10)
        for target in TARGETS[: 1 + number % len(TARGETS)]:
            agent = "sqlmap/1.7 (https://sqlmap.org)" if number % 5 == 0 else "Mozilla/5.0 (X11; Linux x86_64)"
            connection.request("GET", target, headers={"Host": f"shop-{number}.example", "User-Agent": agent})
            connection.getresponse().read()
            requests += 1
        connection.close()
        if certificate is not None and number % 4 == 0:
            visit_secretly(f"bank-{number}.example")
        time.sleep(0.05)
    return requests


def visit_secretly(name: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # its certificate can be seen
    plain = socket.create_connection(("127.0.0.1", SECURE))
    with context.wrap_socket(plain, server_hostname=name) as tls:
        tls.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        while tls.recv(4096):
            pass


def record(path: Path, stop: threading.Event) -> None:
    """Write the packets of the servers into a capture."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    tap.bind(("lo", 0))
    tap.settimeout(0.2)
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, ETHERNET))
        while not stop.is_set():
            try:
                data, (_name, _protocol, kind, *_rest) = tap.recvfrom(1 << 18)
            except TimeoutError:
                continue
            ports = struct.unpack("!HH", data[34:38])  # IPv4 without options
            if kind != PACKET_OUTGOING and {WEB, SECURE} & set(ports):
                now = time.time_ns() // 1000
                file.write(struct.pack("<IIII", now // 1_000_000, now % 1_000_000, len(data), len(data)) + data)
    tap.close()


def wait_until_seen(eve: Path, requests: int) -> None:
    """A busy machine is slow to look."""
    deadline = time.monotonic() + 60
    while eve.read_bytes().count(b'"event_type":"http"') < requests and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(1)


def main(folder: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    certificate = folder / "server.pem"
    serve(WEB)
    if certificate.exists():
        serve(SECURE, certificate)
    stop = threading.Event()
    recorder = threading.Thread(target=record, args=[folder / "capture.pcap", stop])
    recorder.start()
    redis_options = ["--port", str(REDIS), "--bind", "127.0.0.1", "--unixsocket", str(folder / "redis.sock")]
    redis = subprocess.Popen(["redis-server", *redis_options, "--save", "", "--dir", str(folder)], stdout=sys.stderr)
    config = write_config(folder / "live.yaml", TO_FILE.format(name="eve.json"), TO_REDIS)
    command = ["suricata", "-c", str(config), "--af-packet=lo", "-l", str(folder)]
    watched = f"tcp port {WEB} or tcp port {SECURE}"
    suricata = subprocess.Popen([*command, watched], stdout=sys.stderr, stderr=sys.stderr)
    try:
        log = folder / "suricata.log"
        while not (log.exists() and "Engine started" in log.read_text()):
            if suricata.poll() is not None:
                raise SystemExit("Suricata ended")
            time.sleep(0.2)
        requests = visit(certificate if certificate.exists() else None)
        wait_until_seen(folder / "eve.json", requests)
        suricata.terminate()
        suricata.wait(60)
        stop.set()
        recorder.join()
        sys.stdout.write("done\n")
        sys.stdout.flush()
        sys.stdin.read()  # Redis stays until whoever asked has read it
    finally:
        for process in (suricata, redis):
            process.kill()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
