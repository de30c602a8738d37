"""The standard classification table of Suricata rules: EVE carries the description, rule files the short name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Classtype:
    name: str  # as in a rule: web-application-attack
    description: str  # as in EVE, alert.category: Web Application Attack
    priority: int  # 1 is worst; a rule may carry its own


_TABLE = (
    Classtype("not-suspicious", "Not Suspicious Traffic", 3),
    Classtype("unknown", "Unknown Traffic", 3),
    Classtype("bad-unknown", "Potentially Bad Traffic", 2),
    Classtype("attempted-recon", "Attempted Information Leak", 2),
    Classtype("successful-recon-limited", "Information Leak", 2),
    Classtype("successful-recon-largescale", "Large Scale Information Leak", 2),
    Classtype("attempted-dos", "Attempted Denial of Service", 2),
    Classtype("successful-dos", "Denial of Service", 2),
    Classtype("attempted-user", "Attempted User Privilege Gain", 1),
    Classtype("unsuccessful-user", "Unsuccessful User Privilege Gain", 1),
    Classtype("successful-user", "Successful User Privilege Gain", 1),
    Classtype("attempted-admin", "Attempted Administrator Privilege Gain", 1),
    Classtype("successful-admin", "Successful Administrator Privilege Gain", 1),
    Classtype("rpc-portmap-decode", "Decode of an RPC Query", 2),
    Classtype("shellcode-detect", "Executable code was detected", 1),
    Classtype("string-detect", "A suspicious string was detected", 3),
    Classtype("suspicious-filename-detect", "A suspicious filename was detected", 2),
    Classtype("suspicious-login", "An attempted login using a suspicious username was detected", 2),
    Classtype("system-call-detect", "A system call was detected", 2),
    Classtype("tcp-connection", "A TCP connection was detected", 4),
    Classtype("trojan-activity", "A Network Trojan was detected", 1),
    Classtype("unusual-client-port-connection", "A client was using an unusual port", 2),
    Classtype("network-scan", "Detection of a Network Scan", 3),
    Classtype("denial-of-service", "Detection of a Denial of Service Attack", 2),
    Classtype("non-standard-protocol", "Detection of a non-standard protocol or event", 2),
    Classtype("protocol-command-decode", "Generic Protocol Command Decode", 3),
    Classtype("web-application-activity", "access to a potentially vulnerable web application", 2),
    Classtype("web-application-attack", "Web Application Attack", 1),
    Classtype("misc-activity", "Misc activity", 3),
    Classtype("misc-attack", "Misc Attack", 2),
    Classtype("icmp-event", "Generic ICMP event", 3),
    Classtype("inappropriate-content", "Inappropriate Content was Detected", 1),
    Classtype("policy-violation", "Potential Corporate Privacy Violation", 1),
    Classtype("default-login-attempt", "Attempt to login by a default username and password", 2),
    Classtype("targeted-activity", "Targeted Malicious Activity was Detected", 1),
    Classtype("exploit-kit", "Exploit Kit Activity Detected", 1),
    Classtype("external-ip-check", "Device Retrieving External IP Address Detected", 2),
    Classtype("domain-c2", "Domain Observed Used for C2 Detected", 1),
    Classtype("pup-activity", "Possibly Unwanted Program Detected", 2),
    Classtype("credential-theft", "Successful Credential Theft Detected", 1),
    Classtype("social-engineering", "Possible Social Engineering Attempted", 2),
    Classtype("coin-mining", "Crypto Currency Mining Activity Detected", 2),
    Classtype("command-and-control", "Malware Command and Control Activity Detected", 1),
)
CLASSTYPES = {classtype.name: classtype for classtype in _TABLE}
