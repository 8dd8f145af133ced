"""A small street, invented: reads, truth and cameras of the same shape as the recorded week, from a seed.

It holds on purpose what could go wrong: misreads inside and outside the fold, double reads within a second, two lines that are
equal in everything, one plate in two states, two plates of one state that fold to the same, reads without a state, small letters
and hyphens.
"""

import csv
import json
import random

from plain import EPOCH, HOUR_MS, MILLISECOND

AGENCIES = ["mill-town-pd", "east-shore-so"]
STATES = ["CT"] * 70 + ["NY"] * 8 + ["MA"] * 8 + ["NJ"] * 5 + ["RI"] * 4 + ["ME"] * 3 + ["VT"] * 2
# As engines confuse: the first group is what the fold covers, the second is not.
INSIDE = ["O0", "0O", "D0", "Q0", "I1", "1I", "B8", "8B", "Z2", "2Z", "S5", "5S"]
OUTSIDE = ["HM", "6G", "8H", "PF", "3E", "4A"]


def write(folder, reads, hours, seed, now_ms):
    """Writes `reads` lines over `hours` whole hours that ended two days before now.

    Returns the three paths: reads, truth, cameras.
    """
    rng = random.Random(f"street {seed}")
    begin = now_ms // HOUR_MS * HOUR_MS - (48 + hours) * HOUR_MS
    cameras = [(f"gate-{at:02}", AGENCIES[at % 2], 44.8 + at / 500, -68.7 - at / 500, f"Mill Road {at}")
               for at in range(1, 9)]
    vehicles = _vehicles(rng, max(20, reads // 8))
    rows = []
    while len(rows) < reads:
        vehicle = rng.choice(vehicles)
        camera = rng.choice(cameras)
        time = begin + rng.randrange(hours * HOUR_MS)
        rows.append(_row(rng, vehicle, camera, time))
        if rng.random() < 0.05:
            # A double read: often the same text again, a moment later. At the end of the window it stays inside.
            later = min(time + rng.randrange(200, 3_000), begin + hours * HOUR_MS - 1)
            rows.append(_row(rng, vehicle, camera, later))
    rows = rows[:reads - 1]
    # Two lines that are equal in everything are two reads.
    rows.append(rng.choice(rows))
    rows.sort(key=lambda row: row[0])
    paths = [folder / name for name in ("reads.ndjson", "truth.tsv", "cameras.csv")]
    with open(paths[0], "w", encoding="utf-8") as file:
        for _time, read, _vehicle in rows:
            file.write(json.dumps(read) + "\n")
    with open(paths[1], "w", encoding="utf-8") as file:
        file.write("line\tvehicle\ttrue_plate\tstate\tkind\n")
        for line, (_time, _read, (name, plate, state)) in enumerate(rows, 1):
            file.write(f"{line}\t{name}\t{plate}\t{state}\tinvented\n")
    with open(paths[2], "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["camera", "agency", "lat", "lon", "road"])
        table.writerows(cameras)
    return paths


def _vehicles(rng, count):
    plates = {}
    while len(plates) < count - 3:
        letters = "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(rng.choice([2, 2, 3])))
        plates.setdefault((letters + f"{rng.randrange(100_000):05}"[:7 - len(letters)], rng.choice(STATES)))
    plates = list(plates)
    # The same plate in another state, and two plates of one state that fold to the same.
    plate, state = plates[0]
    plates.append((plate, "VT" if state != "VT" else "NH"))
    plates += [("OB12S45", "CT"), ("0812545", "CT")]
    return [(str(at), plate, state) for at, (plate, state) in enumerate(plates, 1)]


def _row(rng, vehicle, camera, time):
    _name, plate, state = vehicle
    key, _agency, lat, lon, _road = camera
    text = plate
    chance = rng.random()
    if chance < 0.08:
        text = _misread(rng, plate, INSIDE if chance < 0.05 else OUTSIDE)
    elif chance < 0.10:
        text = f"{plate[:2].lower()}-{plate[2:]}"
    read = {
        "plate": text,
        "state": None if rng.random() < 0.10 else state,
        "time": (EPOCH + time * MILLISECOND).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "camera": key,
        "lat": round(lat, 6),
        "lon": round(lon, 6),
        "confidence": round(rng.uniform(0.7, 0.99), 3),
    }
    return time, read, vehicle


def _misread(rng, plate, pairs):
    places = [(at, pair[1]) for at, own in enumerate(plate) for pair in pairs if pair[0] == own]
    if not places:
        return plate
    at, other = rng.choice(places)
    return plate[:at] + other + plate[at + 1:]
