#!/usr/bin/python
"""What a host is like before and after, in one look; changes nothing."""

# Runs with whatever Python the host has, from 3.8 on.
from __future__ import annotations

DOCUMENTATION = r"""
module: host_state
short_description: What the role has to know of a host
description: Clock, free space, who listens on a port, whether an address is the host's, and the exporter's service.
options:
  address: {description: Address to listen on., type: str, required: true}
  port: {description: Port to listen on., type: int, required: true}
  unit: {description: Name of the exporter's unit., type: str, required: true}
  paths: {description: Folders whose free space matters; those that are missing count as their parents., type: list,
          elements: str, required: true}
  look: {description: Places of which to say whether they exist and where they lead., type: list, elements: str,
         default: []}
  shown: {description: Folder of the exporter's certificate and web configuration., type: str, default: ""}
author: MyCrypto platform team
"""

EXAMPLES = r"""
- name: Look
  host_state: {address: 10.0.0.1, port: 9100, unit: node_exporter.service, paths: [/opt]}
"""

RETURN = r"""
time: {description: Unix time of the host., type: float, returned: always}
free: {description: Bytes free by path., type: dict, returned: always}
listener: {description: Who else listens on the port; empty when nobody does., type: str, returned: always}
bindable: {description: Why the address cannot be listened on; empty when it can., type: str, returned: always}
there: {description: By place - exists, leads_to (the last part of a link's target) and folders., type: dict,
        returned: always}
shown: {description: The certificate without its key, and the web configuration., type: dict, returned: always}
service: {description: The unit's state., type: dict, returned: always}
"""

import errno
import glob
import os
import re
import socket
import time

from ansible.module_utils.basic import AnsibleModule


def free_bytes(path):
    """Bytes that root can still write where the path is, or will be."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    found = os.statvfs(path)
    return found.f_bfree * found.f_frsize


def listeners(port):
    """Inodes of the sockets that listen on the port."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not os.path.exists(table):
            continue
        with open(table) as lines:
            for line in list(lines)[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add("socket:[" + fields[9] + "]")
    return found


def holders(inodes):
    """(pid, name) of the processes that hold one of the sockets."""
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(link) in inodes:
                pid = link.split("/")[2]
                with open("/proc/" + pid + "/comm") as name:
                    yield int(pid), name.read().strip()
        except OSError:
            continue


def listener(port, own_pid):
    """Who listens on the port, unless it is our own service."""
    inodes = listeners(port)
    if not inodes:
        return ""
    for pid, name in holders(inodes):
        return "" if pid == own_pid else f"{name} (process {pid})"
    return "a process that cannot be seen"


def unbindable(address, port):
    """Why nobody could listen there."""
    try:
        family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except socket.gaierror:
        return "is no IP address"
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            return "is none of this host's addresses"
        if error.errno != errno.EADDRINUSE:
            return os.strerror(error.errno)
    return ""


def there(place):
    """Whether a place exists, where it leads as a link, and what folders are in it."""
    leads_to = os.path.basename(os.readlink(place)) if os.path.islink(place) else ""
    folders = (
        [entry.path for entry in os.scandir(place) if entry.is_dir(follow_symlinks=False)]
        if os.path.isdir(place)
        else []
    )
    return {"exists": os.path.lexists(place), "leads_to": leads_to, "folders": sorted(folders)}


def shown(folder):
    """What the exporter shows whoever connects, and whom it lets in. The key stays where it is."""
    found = {}
    for name in ("tls.pem", "web.yml"):
        try:
            with open(os.path.join(folder, name)) as stream:
                found[name] = stream.read()
        except OSError:
            found[name] = ""
    certificates = re.findall("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", found["tls.pem"], re.DOTALL)
    return {"certificate": "".join(certificates), "web": found["web.yml"]}


def service(module, unit):
    """What systemd knows of the unit, and what the running process was started from."""
    names = "LoadState,ActiveState,UnitFileState,MainPID,NeedDaemonReload"
    code, out, _ = module.run_command(["systemctl", "show", "--property=" + names, unit])
    found = dict(line.partition("=")[::2] for line in out.splitlines()) if code == 0 else {}
    state = {
        "present": found.get("LoadState") == "loaded",
        "active": found.get("ActiveState") == "active",
        "enabled": found.get("UnitFileState") == "enabled",
        "stale": found.get("NeedDaemonReload") == "yes",
        "pid": int(found.get("MainPID") or 0),
        "revision": "",
        "program": "",
    }
    if state["pid"]:
        try:
            state["program"] = os.readlink("/proc/{}/exe".format(state["pid"]))
            with open("/proc/{}/environ".format(state["pid"])) as stream:
                environment = dict(item.partition("=")[::2] for item in stream.read().split("\0"))
            state["revision"] = environment.get("NODE_EXPORTER_REVISION", "")
        except OSError:
            pass
    return state


def main():
    """Look, and say."""
    module = AnsibleModule(
        argument_spec={
            "address": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "unit": {"type": "str", "required": True},
            "paths": {"type": "list", "elements": "str", "required": True},
            "look": {"type": "list", "elements": "str", "default": []},
            "shown": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    options = module.params
    state = service(module, options["unit"])
    module.exit_json(
        changed=False,
        time=time.time(),
        free={path: free_bytes(path) for path in options["paths"]},
        listener=listener(options["port"], state["pid"]),
        bindable=unbindable(options["address"], options["port"]),
        there={place: there(place) for place in options["look"]},
        shown=shown(options["shown"]),
        service=state,
    )


if __name__ == "__main__":
    main()
