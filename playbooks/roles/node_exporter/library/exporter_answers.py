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
  name: {description: Address or name that its certificate has to be for., type: str, required: true}
  user: {description: User to sign in as., type: str, required: true}
  password: {description: That user's password., type: str, required: true}
  ca: {description: PEM of the certificate to check the exporter's against., type: str, required: true}
  version: {description: Version that must answer., type: str, required: true}
  seconds: {description: How long to try., type: int, default: 15}
author: MyCrypto platform team
"""

EXAMPLES = r"""
- name: Ask
  exporter_answers:
    {address: 10.0.0.1, port: 9100, name: 10.0.0.1, user: prometheus, password: secret, ca: "...", version: 1.7.0}
"""

RETURN = r"""
series: {description: How many series it exposes., type: int, returned: success}
"""

import base64
import http.client
import re
import socket
import ssl
import time

from ansible.module_utils.basic import AnsibleModule


class Named(http.client.HTTPSConnection):
    """Connects to one address and has the certificate checked for another name, as behind address translation."""

    def __init__(self, options, context):
        super().__init__(options["address"], options["port"], timeout=5, context=context)
        self._named, self._checked = options["name"], context

    def connect(self):
        """Plain connection first, then TLS for the name."""
        raw = socket.create_connection((self.host, self.port), self.timeout)
        self.sock = self._checked.wrap_socket(raw, server_hostname=self._named)


def get(connection, headers):
    """Status and body of /metrics."""
    try:
        connection.request("GET", "/metrics", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


def refused(options, context):
    """What is wrong with how it treats those without the password and those without TLS; empty when nothing is."""
    status, _ = get(Named(options, context), {})
    if status != 401:
        return f"answers without a password with HTTP status {status}, not 401"
    try:
        status, _ = get(http.client.HTTPConnection(options["address"], options["port"], timeout=5), {})
    except (OSError, http.client.HTTPException):
        return ""
    return "" if status == 400 else f"answers plain HTTP with status {status}"


def complaint(options, context):
    """What is wrong, and how many series there are."""
    sign_in = base64.b64encode("{user}:{password}".format(**options).encode()).decode()
    try:
        status, body = get(Named(options, context), {"Authorization": "Basic " + sign_in})
        wrong = refused(options, context)
    except (OSError, http.client.HTTPException) as error:
        return f"does not answer over TLS ({error})", 0
    if status != 200:
        wrong = f"answers the password with HTTP status {status}"
    elif not re.search('^node_exporter_build_info{.*version="' + re.escape(options["version"]) + '"', body, re.M):
        wrong = "is not version " + options["version"]
    elif "\nnode_filesystem_avail_bytes{" not in body:
        wrong = "exposes no file system"
    return wrong, sum(1 for line in body.splitlines() if line and not line.startswith("#"))


def main():
    """Ask until it is well or the time is over."""
    module = AnsibleModule(
        argument_spec={
            "address": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "name": {"type": "str", "required": True},
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
