"""What can be learned from what a connection or a field says: cookies, user agents, certificates, addresses.

Pure look-ups; what they are called in expressions is said in `variables`.
"""

from ai_gateway_mw.facts.addresses import AddressFacts, Intelligence
from ai_gateway_mw.facts.certificates import Certificate, NameFacts, certificate, without_certificates
from ai_gateway_mw.facts.ciphers import cipher_suite
from ai_gateway_mw.facts.cookies import request_cookies, response_cookies
from ai_gateway_mw.facts.forwarded_tls import FORWARDED, forwarded_certificate, tls_version
from ai_gateway_mw.facts.ip_policies import IPPolicies, IPPolicy, load_ip_policies
from ai_gateway_mw.facts.loading import load_intelligence
from ai_gateway_mw.facts.user_agents import UserAgent, user_agent

__all__ = [
    "FORWARDED",
    "AddressFacts",
    "Certificate",
    "IPPolicies",
    "IPPolicy",
    "Intelligence",
    "NameFacts",
    "UserAgent",
    "certificate",
    "cipher_suite",
    "forwarded_certificate",
    "load_intelligence",
    "load_ip_policies",
    "request_cookies",
    "response_cookies",
    "tls_version",
    "user_agent",
    "without_certificates",
]
