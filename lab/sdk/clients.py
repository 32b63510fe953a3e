"""What the scenarios with the new Python SDKs have in common."""

from alibabacloud_tea_openapi.models import Config

from world import ENDPOINT, KEY, REGION, SECRET, same


def client(kind, signature=None):
    config = Config(access_key_id=KEY, access_key_secret=SECRET, region_id=REGION, endpoint=ENDPOINT, protocol="HTTP")
    config.signature_algorithm = signature
    return kind(config)


def body(response):
    # A wrongly nested answer does not raise in these SDKs: it gives no body.
    assert response.body is not None, response
    return response.body


def refused(code, call, *args):
    try:
        call(*args)
    except Exception as error:
        same(getattr(error, "code", None), code, f"the refusal of {call.__name__}")
        return
    raise AssertionError(f"{call.__name__} was not refused with {code}")
