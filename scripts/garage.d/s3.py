"""Just enough S3 to look into a bucket without Lockplate: signed requests (SigV4) and the list of keys."""

import hashlib
import hmac
import http.client
import time
import urllib.parse
import xml.etree.ElementTree

from processes import Failed

SPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
EMPTY = hashlib.sha256(b"").hexdigest()


def get(port, region, credentials, path, query):
    """A signed GET at a port of the loopback; status and body."""
    key_id, secret = credentials
    at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headers = {"host": f"127.0.0.1:{port}", "x-amz-content-sha256": EMPTY, "x-amz-date": at}
    names = ";".join(sorted(headers))
    asked = urllib.parse.urlencode(sorted(query.items()), quote_via=urllib.parse.quote, safe="")
    request = "\n".join(["GET", path, asked, *(f"{name}:{headers[name]}" for name in sorted(headers)), "", names, EMPTY])
    scope = f"{at[:8]}/{region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", at, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={key_id}/{scope},SignedHeaders={names},Signature={key.hex()}"
    door = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        door.request("GET", f"{path}?{asked}", headers=headers)
        answer = door.getresponse()
        return answer.status, answer.read()
    finally:
        door.close()


def keys(port, region, credentials, bucket):
    """Every key in the bucket."""
    found, query = [], {"list-type": "2"}
    while True:
        status, body = get(port, region, credentials, f"/{bucket}", query)
        if status != 200:
            raise Failed(f"the bucket is not listed: {status}")
        page = xml.etree.ElementTree.fromstring(body)
        found += [one.text for one in page.iter(f"{SPACE}Key")]
        if page.findtext(f"{SPACE}IsTruncated") != "true":
            return found
        query["continuation-token"] = page.findtext(f"{SPACE}NextContinuationToken")
