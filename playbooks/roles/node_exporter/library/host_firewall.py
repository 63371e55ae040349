#!/usr/bin/python
"""Opens the exporter's port in the host's own firewall, and closes what an earlier run opened and no more is wanted."""

# Runs with whatever Python the host has, from 3.8 on.
from __future__ import annotations

DOCUMENTATION = r"""
module: host_firewall
short_description: Opens a port in ufw or firewalld
description: Remembers what it opened in a file, so that another port, other sources or a removal leave nothing behind.
options:
  firewall: {description: The host's firewall., type: str, required: true, choices: [none, ufw, firewalld]}
  address: {description: Address that is connected to., type: str, required: true}
  port: {description: TCP port that is connected to., type: int, required: true}
  sources: {description: Who may connect; empty means everybody., type: list, elements: str, default: []}
  opened: {description: File that remembers what is open., type: str, required: true}
  like: {description: File that remembers what was open before; it is brought back., type: str, default: ""}
  state: {description: Whether the port is to be open., type: str, default: present, choices: [present, absent]}
author: MyCrypto platform team
"""

EXAMPLES = r"""
- name: Open
  host_firewall: {firewall: ufw, address: 10.0.0.1, port: 9100, sources: [10.0.0.0/8], opened: /var/lib/x/opened.json}
"""

RETURN = r"""
rules: {description: The rules that are open., type: list, returned: always}
"""

import json
import os
import shlex

from ansible.module_utils.basic import AnsibleModule


def wanted(options):
    """The rules of the options, each as [firewall, rule]."""
    everywhere = options["address"] in ("0.0.0.0", "::")  # noqa: S104 - what is asked for
    if options["firewall"] == "ufw":
        target = "any" if everywhere else options["address"]
        rule = "from {source} to {target} port {port} proto tcp"
        return [
            ["ufw", rule.format(source=source, target=target, port=options["port"])]
            for source in options["sources"] or ["any"]
        ]
    if options["firewall"] == "firewalld":
        found = []
        for source in options["sources"] or [""]:
            family = "ipv6" if ":" in (source or options["address"]) else "ipv4"
            parts = [f'rule family="{family}"']
            parts += [f'source address="{source}"'] if source else []
            parts += [] if everywhere else ['destination address="{}"'.format(options["address"])]
            parts += ['port port="{}" protocol="tcp" accept'.format(options["port"])]
            found.append(["firewalld", " ".join(parts)])
        return found
    return []


class Host:
    """Runs the firewalls' own commands."""

    def __init__(self, module):
        self.module = module

    def refuse_absent(self, firewall):
        """Fail where the firewall is not there to be told anything."""
        command, asked = ("ufw", ["version"]) if firewall == "ufw" else ("firewall-cmd", ["--state"])
        remedy = "or set node_exporter_firewall to none."
        if self.module.get_bin_path(command, opt_dirs=["/usr/sbin", "/sbin"]) is None:
            self.module.fail_json(
                msg=f"node_exporter_firewall is {firewall}, which is not installed; install it {remedy}"
            )
        if self.module.run_command([command, *asked])[0]:
            self.module.fail_json(msg=f"node_exporter_firewall is {firewall}, which does not run; start it {remedy}")

    def run(self, *command):
        """Output of a command that must succeed."""
        code, out, err = self.module.run_command(list(command))
        if code:
            self.module.fail_json(msg="`{}` failed: {}".format(" ".join(command), (err or out).strip()))
        return out

    def is_open(self, firewall, rule):
        """Whether the firewall has the rule."""
        if firewall == "ufw":
            # It leaves out what is `any`, and orders the words its own way.
            words = rule.replace("from any ", "").split()
            pairs = set(zip(words[::2], words[1::2]))
            for line in self.run("ufw", "show", "added").splitlines():
                said = shlex.split(line)
                if said[:2] == ["ufw", "allow"] and pairs == set(zip(said[2::2], said[3::2])) - {
                    ("comment", "node_exporter")
                }:
                    return True
            return False
        return all(
            self.module.run_command(["firewall-cmd", *where, "--query-rich-rule=" + rule])[0] == 0
            for where in ([], ["--permanent"])
        )

    def open(self, firewall, rule):
        """Add the rule, now and for later starts."""
        if firewall == "ufw":
            self.run("ufw", "allow", *rule.split(), "comment", "node_exporter")
        else:
            for where in ([], ["--permanent"]):
                self.run("firewall-cmd", *where, "--add-rich-rule=" + rule)

    def close(self, firewall, rule):
        """Remove the rule."""
        if firewall == "ufw":
            self.run("ufw", "delete", "allow", *rule.split())
        else:
            for where in ([], ["--permanent"]):
                self.run("firewall-cmd", *where, "--remove-rich-rule=" + rule)


def remembered(path):
    """What earlier runs opened."""
    if not os.path.exists(path):
        return []
    with open(path) as stream:
        return json.load(stream)


def remember(path, rules):
    """Written whole, and before a rule is added: a run that is killed leaves nothing that nobody knows of."""
    with open(path + ".partial", "w") as stream:
        json.dump(rules, stream)
    os.rename(path + ".partial", path)


def main():
    """Open what is wanted, close what is not."""
    module = AnsibleModule(
        argument_spec={
            "firewall": {"type": "str", "required": True, "choices": ["none", "ufw", "firewalld"]},
            "address": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "sources": {"type": "list", "elements": "str", "default": []},
            "opened": {"type": "str", "required": True},
            "like": {"type": "str", "default": ""},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
        },
        supports_check_mode=True,
    )
    options, host = module.params, Host(module)
    rules = []
    if options["like"]:
        rules = remembered(options["like"])
    elif options["state"] == "present":
        if options["firewall"] != "none":
            host.refuse_absent(options["firewall"])
        rules = wanted(options)
    had = remembered(options["opened"])
    new = [rule for rule in rules if not host.is_open(*rule)]
    old = [rule for rule in had if rule not in rules and host.is_open(*rule)]
    if not module.check_mode:
        if had != rules:
            remember(options["opened"], had + [rule for rule in rules if rule not in had])
        for rule in new:
            host.open(*rule)
        for rule in old:
            host.close(*rule)
        if had != rules:
            remember(options["opened"], rules)
    said = {"before": "".join(r[1] + "\n" for r in old), "after": "".join(r[1] + "\n" for r in new)}
    module.exit_json(changed=bool(new or old), rules=[rule[1] for rule in rules], diff=said)


if __name__ == "__main__":
    main()
