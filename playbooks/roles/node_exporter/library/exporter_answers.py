#!/usr/bin/python
"""Asks the exporter as Prometheus does, and as nobody may; changes nothing."""

# Runs with whatever Python the host has, from 3.8 on.
from __future__ import annotations

DOCUMENTATION = r"""
module: exporter_answers
short_description: Whether the exporter serves the right version over TLS, to whoever has the password only
options:
  address: {description: Address it listens on., type: str, required: true}
  port: {description: Port it listens on., type: int, required: true}
  user: {description: User to sign in as., type: str, required: true}
  password: {description: That user's password., type: str, required: true}
  ca: {description: PEM of the certificate to check the exporter's against., type: str, required: true}
  version: {description: Version that must answer., type: str, required: true}
  seconds: {description: How long to try., type: int, default: 15}
author: MyCrypto platform team
"""

EXAMPLES = r"""
- name: Ask
  exporter_answers: {address: 10.0.0.1, port: 9100, user: prometheus, password: secret, ca: "...", version: 1.7.0}
"""

RETURN = r"""
series: {description: How many series it exposes., type: int, returned: success}
"""

import base64
import http.client
import re
import ssl
import time

from ansible.module_utils.basic import AnsibleModule


def get(connection, headers):
    """Status and body of /metrics."""
    try:
        connection.request("GET", "/metrics", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


def complaint(options, context):
    """What is wrong, and how many series there are."""
    where = (options["address"], options["port"])
    sign_in = base64.b64encode("{user}:{password}".format(**options).encode()).decode()
    try:
        status, body = get(
            http.client.HTTPSConnection(*where, timeout=5, context=context), {"Authorization": "Basic " + sign_in}
        )
    except (OSError, http.client.HTTPException) as error:
        return "does not answer over TLS ({0})".format(error), 0
    if status != 200:
        return "answers the password with HTTP status {0}".format(status), 0
    if not re.search('^node_exporter_build_info{.*version="' + re.escape(options["version"]) + '"', body, re.M):
        return "is not version " + options["version"], 0
    if "\nnode_filesystem_avail_bytes{" not in body:
        return "exposes no file system", 0
    status, _ = get(http.client.HTTPSConnection(*where, timeout=5, context=context), {})
    if status != 401:
        return "answers without a password with HTTP status {0}, not 401".format(status), 0
    try:
        status, _ = get(http.client.HTTPConnection(*where, timeout=5), {"Authorization": "Basic " + sign_in})
        if status == 200:
            return "answers plain HTTP", 0
    except (OSError, http.client.HTTPException):
        pass
    return "", sum(1 for line in body.splitlines() if line and not line.startswith("#"))


def main():
    """Ask until it is well or the time is over."""
    module = AnsibleModule(
        argument_spec={
            "address": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "user": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "ca": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "seconds": {"type": "int", "default": 15},
        },
        supports_check_mode=True,
    )
    context = ssl.create_default_context(cadata=module.params["ca"])
    end = time.time() + module.params["seconds"]
    while True:
        wrong, series = complaint(module.params, context)
        if not wrong:
            module.exit_json(changed=False, series=series)
        if time.time() > end:
            module.fail_json(msg="the exporter at {address}:{port} {0}".format(wrong, **module.params))
        time.sleep(0.3)


if __name__ == "__main__":
    main()
