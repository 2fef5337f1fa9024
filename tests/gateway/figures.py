"""The figures of HAProxy that dashboards, rules and runbooks may ask for, with their labels. tests/gateway holds them to what a
running HAProxy tells."""

from __future__ import annotations

FIGURES: dict[str, frozenset[str]] = {
    "haproxy_backend_active_servers": frozenset({"proxy"}),
    "haproxy_backend_http_responses_total": frozenset({"proxy", "code"}),
    "haproxy_frontend_http_responses_total": frozenset({"proxy", "code"}),
    "haproxy_server_connection_errors_total": frozenset({"proxy", "server"}),
    "haproxy_server_http_responses_total": frozenset({"proxy", "server", "code"}),
    "haproxy_server_response_errors_total": frozenset({"proxy", "server"}),
    "haproxy_server_status": frozenset({"proxy", "server", "state"}),
}
OF_THE_CERTIFICATE = "gateway_certificate_ends_seconds"
"""What /metrics/certificate tells (test_command.py)."""
VALUES = {"proxy": {"public"}, "code": {"5xx"}}
"""Values of labels that a query may want."""
