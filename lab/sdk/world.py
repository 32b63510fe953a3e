"""What a scenario needs besides an SDK: where the API is, and hosts to send real requests from.

All of it comes from the environment:
  SLUICE_ENDPOINT             ADDRESS:PORT of the API
  SLUICE_KEY, SLUICE_SECRET   an access key
  SLUICE_EXEC                 a command that runs a program in an instance: `{instance}` stands for its identifier
  SLUICE_CLIENT               a command that runs a program on a host of the Internet
  SLUICE_RECORDS              a command that prints the records of sessions, a line of JSON for each
"""

import json
import os
import shlex
import subprocess
import time

ENDPOINT = os.environ["SLUICE_ENDPOINT"]
KEY = os.environ["SLUICE_KEY"]
SECRET = os.environ["SLUICE_SECRET"]
REGION = "cn-hangzhou"
ZONE = "cn-hangzhou-h"


def in_instance(instance):
    return [part.format(instance=instance) for part in shlex.split(os.environ["SLUICE_EXEC"])]


def in_client():
    return shlex.split(os.environ["SLUICE_CLIENT"])


def records(wanted, address):
    """The records of sessions with an address outside, of those that have ended or were refused: when there are so many."""
    for _ in range(300):
        text = subprocess.run(shlex.split(os.environ["SLUICE_RECORDS"]), capture_output=True, text=True, check=True).stdout
        all = [json.loads(line) for line in text.splitlines()]
        found = [it for it in all if it["dst"] == address and it["kind"] != "ongoing"]
        if len(found) >= wanted:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{len(found)} records instead of {wanted}: {found}")


class Web:
    """A web server in an instance; it answers each request with the instance's identifier."""

    def __init__(self, instance):
        self.instance = instance
        server = ["python3", os.path.join(os.path.dirname(os.path.abspath(__file__)), "web.py"), instance]
        self.process = subprocess.Popen(in_instance(instance) + server)
        probe = ["curl", "-sS", "--max-time", "5", "http://127.0.0.1/"]
        for _ in range(100):
            if subprocess.run(in_instance(instance) + probe, capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        raise AssertionError(f"the web server of {instance} does not answer")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


class Site:
    """A web server on a host of the Internet; instances ask for it by any name."""

    answer = "a site"

    def __init__(self, address):
        self.address = address
        server = ["python3", os.path.join(os.path.dirname(os.path.abspath(__file__)), "web.py"), self.answer]
        self.process = subprocess.Popen(in_client() + server)
        for _ in range(100):
            if fetch(f"http://{address}/") == self.answer:
                return
            time.sleep(0.1)
        raise AssertionError("the web server of the Internet does not answer")

    def url(self, name=None):
        """Its address, or a name that stands for it."""
        return f"http://{name or self.address}/"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def fetch(url):
    """What a host of the Internet gets; None if there is no answer."""
    return get(in_client(), url)


def fetch_from(instance, url):
    """What an instance gets; None if there is no answer."""
    return get(in_instance(instance), url)


def get(host, url):
    # Names of scenarios stand for the host of the Internet.
    curl = ["curl", "-sS", "--max-time", "5", "--connect-to", "www.allowed.example:80:198.51.100.20:80", url]
    done = subprocess.run(host + curl, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None


def same(found, wanted, what=""):
    assert found == wanted, f"{what}: {found!r} is not {wanted!r}"


def show(step, value=""):
    print(step, json.dumps(value, default=str), flush=True)
