"""The engines of the soak: what each one posts about a read, and what it does when the answer is not the one it wants. Shapes and habits
are those that Lockplate's documentation of sources claims; plates are invented."""

import dataclasses
import datetime
import json

FOREVER = None


@dataclasses.dataclass(frozen=True)
class Habit:
    """How an engine sends."""
    # Tries of one message; None: until it is taken.
    tries: object = 1
    # Seconds before the next try.
    pause: float = 2.0
    # Seconds it waits for an answer.
    patience: float = 30.0
    # Takes whatever status comes for a delivery.
    any_status_is_delivery: bool = False
    # Text that the body of the answer must hold.
    wants: bytes = b""
    # Sends in the order of capture: what was read while it had no network goes before what it reads now.
    in_order: bool = False


@dataclasses.dataclass(frozen=True)
class Read:
    """One vehicle before one camera."""
    number: int
    plate: str
    at_ms: int
    hot: bool = False
    late: bool = False


def _time(at_ms):
    return datetime.datetime.fromtimestamp(at_ms / 1_000, datetime.timezone.utc)


def _local(at_ms, parts="seconds"):
    return _time(at_ms).replace(tzinfo=None).isoformat(sep=" ", timespec=parts)


def _json(value, kind="application/json"):
    return kind, json.dumps(value, separators=(",", ":")).encode()


def _multipart(name, part):
    head = f'--XX\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
    return "multipart/form-data; boundary=XX", head.encode() + part + b"\r\n--XX--\r\n"


def own_line(camera, read):
    """A line of the own format."""
    return json.dumps({"plate": read.plate, "camera": camera.key, "captured_at": read.at_ms, "id": f"n{read.number}", "conf": 0.93,
                       "jurisdiction": "US-ME", "jurisdiction_conf": 0.95}).encode() + b"\n"


def _group(camera, read, preview):
    agent, number = camera.key.split("/")
    uuid = f"{agent}-cam{number}-{read.number}-{read.at_ms}"
    return _json({"data_type": "alpr_group", "version": 2, "agent_uid": agent, "camera_id": int(number), "epoch_start": read.at_ms,
                  "epoch_end": read.at_ms, "best_uuid": uuid, "uuids": [uuid], "best_plate_number": read.plate,
                  "best_confidence": 93.4, "best_region": "us-me", "best_region_confidence": 88, "is_preview": preview,
                  "is_parked": False, "matches_template": True, "img_width": 1280, "img_height": 720,
                  "vehicle": {"color": [{"name": "blue", "confidence": 81.0}], "make": [{"name": "ford", "confidence": 70.5}]}})


def _alprd(camera, read):
    return [_group(camera, read, False)]


def _rekor(camera, read):
    # Every eighth is seen early.
    return [_group(camera, read, True)] * (read.number % 8 == 0) + [_group(camera, read, False)]


def _platerecognizer(camera, read):
    name = f"{camera.key}/{read.number}.jpg"
    hook = {"hook": {"event": "recognition", "id": camera.key, "filename": name},
            "data": {"camera_id": camera.key, "filename": name, "timestamp": _time(read.at_ms).isoformat(timespec="microseconds"),
                     "results": [{"plate": read.plate.lower(), "score": 0.902, "dscore": 0.81,
                                  "region": {"code": "us-me", "score": 0.86}, "vehicle": {"type": "Sedan", "score": 0.7},
                                  "box": {"xmin": 153, "ymin": 91, "xmax": 302, "ymax": 125}}]}}
    return [_multipart("json", json.dumps(hook).encode())]


def _hikvision(camera, read):
    mac, channel = camera.key.split("/")
    xml = (f'<?xml version="1.0" encoding="UTF-8"?>\n<EventNotificationAlert version="2.0" '
           f'xmlns="http://www.hikvision.com/ver20/XMLSchema"><macAddress>{mac}</macAddress><channelID>{channel}</channelID>'
           f'<dateTime>{_time(read.at_ms).isoformat(timespec="milliseconds")}</dateTime><eventType>ANPR</eventType>'
           f'<eventState>active</eventState><ANPR><country>1</country><licensePlate>{read.plate}</licensePlate>'
           f'<confidenceLevel>93</confidenceLevel><direction>forward</direction><vehicleType>vehicle</vehicleType></ANPR>'
           f'<UUID>{read.number:08d}-{read.at_ms}</UUID><isDataRetransmission>{str(read.late).lower()}</isDataRetransmission>'
           f'</EventNotificationAlert>').encode()
    return [_multipart("anpr.xml", xml)]


def _dahua(camera, read):
    return [_json({"Picture": {"Plate": {"PlateNumber": read.plate, "Confidence": 93, "Region": "US"},
                               "NormalPic": {"PicName": f"{read.number}.jpg"}, "Vehicle": {"VehicleColor": "White"},
                               "SnapInfo": {"DeviceID": camera.key, "AccurateTime": _local(read.at_ms, "milliseconds"),
                                            "Direction": "Approach"}}})]


def _axis(camera, read):
    def event(state):
        return _multipart("event", json.dumps(
            {"plateUTF8": read.plate, "plateConfidence": "0.930000", "plateCountry": "USA", "carState": state,
             "carID": str(read.number), "carMoveDirection": "in", "capture_timestamp": str(read.at_ms),
             "camera_info": {"SerialNumber": camera.key}}).encode())
    return [event("new"), event("lost")]


def _milesight(camera, read):
    return [_json({"device": camera.key, "time": _local(read.at_ms), "plate": read.plate, "confidence": "93", "region": "-",
                   "direction": "Approach", "vehicle_type": "-", "Vehicle Brand": "-", "type": "Visitor"})]


def _unifi(camera, read):
    return [_json({"alarm": {"name": "plates", "triggers": [{"key": "license_plate_unknown", "value": read.plate,
                                                            "device": camera.key, "timestamp": read.at_ms,
                                                            "eventId": f"e{read.number}"}]}})]


def _genetec(camera, read):
    return [_json({"CameraName": camera.key, "Plate": read.plate, "DateUtc": _time(read.at_ms).strftime("%d/%m/%Y"),
                   "TimeUtc": _time(read.at_ms).strftime("%H:%M:%S"), "State": "ME", "ConfidenceScore": "93",
                   "Attributes": {"State Name Confidence Score": "91", "Relative Motion": "Moving Away"}})]


def _blueiris(camera, read):
    found = {"success": True, "requestId": f"r{read.number}", "predictions": [{"plate": read.plate, "confidence": 0.93}]}
    return [_json({"camera": camera.key, "timestamp": _local(read.at_ms), "ai_dump": [{"api": "alpr", "found": found}]})]


def _verkada(camera, read):
    return [_json({"webhook_type": "lpr", "webhook_id": "w1", "data": {
        "camera_id": camera.key, "license_plate_number": read.plate, "confidence": 0.93, "detected": read.at_ms,
        "license_plate_state": "us-me"}})]


def _tattile(camera, read):
    at = _time(read.at_ms)
    return [("text/xml", (f'<Msg><PLATE_STRING>{read.plate}</PLATE_STRING><DATE>{at:%Y-%m-%d}</DATE>'
                          f'<TIME>{at:%H-%M-%S}-{read.at_ms % 1_000:03}</TIME><OCRSCORE>93</OCRSCORE>'
                          f'<PLATE_COUNTRY_CODE>USA</PLATE_COUNTRY_CODE><DEVICE_SN>{camera.key}</DEVICE_SN></Msg>').encode())]


def _frigate(camera, read):
    def event(kind):
        return _json({"type": kind, "before": None, "after": {
            "id": f"{read.at_ms / 1_000:.3f}-{read.number}", "camera": camera.key, "label": "car", "sub_label": None,
            "start_time": read.at_ms / 1_000, "frame_time": read.at_ms / 1_000, "stationary": False, "false_positive": False,
            "recognized_license_plate": [read.plate, 0.93]}})
    return [event("update"), event("end")]


@dataclasses.dataclass(frozen=True)
class Engine:
    """A kind of camera."""
    name: str
    # Cameras of a hundred.
    share: int
    # Messages about one read, in order; None: the own format, many reads a message.
    messages: object
    habit: Habit = Habit()
    # Smallest step of its times, ms.
    step_ms: int = 1
    # It names its reads, so that one plate before one camera may come twice within seconds.
    names_reads: bool = True
    # A read of it is final only some time after its last message.
    rests: bool = False
    # More lines of the source's configuration.
    zone: bool = False
    fixed_camera: bool = False
    key: str = "{engine}-{number}"


ENGINES = (
    Engine("own", 10, None, Habit(tries=FOREVER, pause=5.0)),
    Engine("openalpr", 10, _alprd, Habit(tries=FOREVER, any_status_is_delivery=True, in_order=True), key="agent-{number}/1"),
    Engine("rekor", 12, _rekor, Habit(tries=FOREVER, in_order=True), key="rekor-{number}/2"),
    Engine("platerecognizer", 10, _platerecognizer, zone=True),
    Engine("hikvision", 10, _hikvision, zone=True, key="c0:56:e3:00:{high:02x}:{low:02x}/1"),
    Engine("dahua", 6, _dahua, Habit(tries=FOREVER, wants=b'"result":"true"'), zone=True),
    Engine("axis", 6, _axis),
    Engine("milesight", 6, _milesight, step_ms=1_000, names_reads=False, zone=True, fixed_camera=True),
    Engine("unifi", 5, _unifi),
    Engine("genetec", 5, _genetec, step_ms=1_000, names_reads=False),
    Engine("blueiris", 5, _blueiris, step_ms=1_000, zone=True),
    Engine("verkada", 5, _verkada, Habit(tries=2, pause=0.0, patience=2.0), names_reads=False),
    Engine("tattile", 5, _tattile, names_reads=False, zone=True),
    # By way of a bridge, which goes on from where the broker was not answered.
    Engine("frigate", 5, _frigate, Habit(tries=FOREVER), rests=True),
)


@dataclasses.dataclass(frozen=True)
class Camera:
    """A camera, the source of its own name, and the address that it posts to."""
    engine: Engine
    number: int
    # Number and token of its source.
    of: int
    token: bytes

    @property
    def source(self):
        """Name of its source."""
        return f"{self.engine.name}-{self.of}"

    @property
    def path(self):
        """Where it posts."""
        return f"/in/v1/{self.source}/{self.token.hex()}"

    @property
    def key(self):
        """The engine's key for it."""
        return self.engine.key.format(engine=self.engine.name, number=self.number, high=self.number // 256, low=self.number % 256)


def cameras(count, tokens, a_source=1):
    """`count` cameras, the engines mixed by their shares. `a_source` of one engine have one source, as behind one server of a county."""
    slots = [engine for engine in ENGINES for _ in range(engine.share)]
    # A step that has no factor in common with a hundred, so that a few cameras are already a mixture.
    picked = [slots[at * 37 % len(slots)] for at in range(count)]
    made, open_sources = [], {}
    for number, engine in enumerate(picked, 1):
        of, token, left = open_sources.get(engine.name, (0, b"", 0))
        # A source with one camera in its configuration is of this one.
        if left == 0 or engine.fixed_camera:
            of, token, left = number, next(tokens), a_source
        open_sources[engine.name] = (of, token, left - 1)
        made.append(Camera(engine, number, of, token))
    return made
