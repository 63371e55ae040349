"""Every metric and label a rule names is one that something exposes or that another rule leaves there."""

import pytest

from tests.labels import Reader


def test_every_metric_and_label_of_every_rule_exists(reader: Reader) -> None:
    expressions = reader.known.expressions
    assert expressions
    found = [f"{place}: {problem}" for place, expression in expressions for problem in reader.problems(expression)]
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("sum(rate(http_request_total[5m]))", "nothing exposes http_request_total"),
        ("http_request_duration_seconds > 1", "nothing exposes http_request_duration_seconds"),
        ('{__name__=~"kyk_.+"}', "nothing exposes "),
        ("max_over_time(sum(foo)[1h:1m]) > 1", "nothing exposes foo"),
        ("topk(scalar(foo), up)", "nothing exposes foo"),
        ('kyc_pending{job="wallet-service"}', "it is by kyc-service"),
        ('http_requests_total{code=~"5.."}', "has no label code; it has instance, job, method, route,"),
        ('node_load1{tier!="standard"}', "has no label tier"),
        ('probe_success{job="health", phase="tls"}', "has no label phase"),
        ('job:http_error_rate{route="/"}', "has no label route"),
        ("sum by (route) (job:http_error_rate)", "groups by route, which is not there"),
        ("sum by (route) (up) > 1", "groups by route, which is not there"),
        ("sum(up) / on (service) up", "sum(up{}) has no label service to be matched on"),
        ("histogram_quantile(0.9, sum by (service) (rate(http_request_duration_seconds_bucket[5m])))", "no label le"),
    ],
)
def test_what_nothing_exposes_is_found(reader: Reader, expression: str, sentence: str) -> None:
    (found,) = reader.problems(expression)
    assert sentence in found


@pytest.mark.parametrize(
    "expression",
    [
        'sum by (route) (rate(http_request_duration_seconds_bucket{le="1.0", team="trading"}[5m])) # foo',
        '{__name__=~"kyc_.+", job="kyc-service"}',
        'label_replace(vector(1), "service", "bar", "", "") unless on (service) up{tier="", job!~"a|b"} offset 5m',
        'probe_ssl_earliest_cert_expiry{job="certificates"} - time() < 86400',
        'ALERTS{alertname="Anything", severity="critical", service="wallet-service"}',
        'sum by (made_up) (label_replace(up, "made_up", "$1", "job", "(.+)"))',
        "job:http_error_rate * on (service) group_left (version) version:service_build_info:running",
    ],
)
def test_what_is_exposed_is_accepted(reader: Reader, expression: str) -> None:
    assert not list(reader.problems(expression))
