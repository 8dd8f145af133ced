"""The plain side of the comparison: what a search has to find, worked out from the file alone.

Nothing here knows Lockplate's code. Canonical text and fold are written a second time from the protocol (LPv1 section 4), so
that an error in one of the two shows as a difference. Plates are handled in clear because the data is invented; no line that
this module makes for people holds one.
"""

import collections
import csv
import datetime
import gzip
import json
import random
import unicodedata

CHARS_MAX = 16
BYTES_MAX = 57
KEPT = {"Lu", "Ll", "Lt", "Lm", "Lo", "Nd"}
FOLD = str.maketrans("OQDIBZS", "0001825")
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MILLISECOND = datetime.timedelta(milliseconds=1)
HOUR_MS = 3_600_000


def canonical(raw):
    """NFKC, upper case, letters and digits only, until nothing changes; cut to 16 characters and 57 bytes.

    Returns the text, and whether it was cut.
    """
    text = raw
    while True:
        again = unicodedata.normalize("NFKC", text)
        again = "".join(character.upper() for character in again)
        again = "".join(character for character in again if unicodedata.category(character) in KEPT)
        if again == text:
            break
        text = again
    kept = text[:CHARS_MAX]
    while len(kept.encode()) > BYTES_MAX:
        kept = kept[:-1]
    return kept, kept != text


def fold(text):
    """Fold v1: O, Q and D are 0, I is 1, B is 8, Z is 2, S is 5; nothing else."""
    return text.translate(FOLD)


def milliseconds(text):
    """RFC 3339 to Unix milliseconds, exactly."""
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment - EPOCH) // MILLISECOND


def now_ms():
    """The time of the machine, Unix milliseconds."""
    return (datetime.datetime.now(datetime.timezone.utc) - EPOCH) // MILLISECOND


def rfc3339(ms):
    """Unix milliseconds of a whole second to RFC 3339."""
    return (EPOCH + ms * MILLISECOND).strftime("%Y-%m-%dT%H:%M:%SZ")


# One read of the file: its line (from 1), camera key, Unix ms, canonical text as read, two-letter state or None.
Read = collections.namedtuple("Read", "line camera time text state")
# One vehicle of the truth: its name, true plate, two-letter state, the lines at which it passed.
Vehicle = collections.namedtuple("Vehicle", "name plate state lines")


class Week:
    """All reads of a file (or of the cameras of one agency), indexed for the plain scan, and the truth behind them."""

    def __init__(self, reads_path, truth_path, cameras_path, agency=None):
        with open(cameras_path, newline="", encoding="utf-8") as file:
            cameras = list(csv.DictReader(file))
        if agency is not None and all(camera["agency"] != agency for camera in cameras):
            raise SystemExit(f"no camera of {cameras_path} belongs to this agency; there are: "
                             + ", ".join(sorted({camera["agency"] for camera in cameras})))
        self.agency = agency
        self.agencies = sorted({camera["agency"] for camera in cameras})
        self.cameras = {camera["camera"] for camera in cameras if agency in (None, camera["agency"])}
        self.reads = {}
        self.lines_in_file = 0
        self.unreadable = 0
        self._by_key = collections.defaultdict(list)
        with _text(reads_path) as file:
            for line, row in enumerate(file, 1):
                self.lines_in_file = line
                read = json.loads(row)
                if read["camera"] not in self.cameras:
                    continue
                text, cut = canonical(read["plate"])
                if not text:
                    self.unreadable += 1
                    continue
                # A plate that had to be cut is sealed as one whose state was not read.
                state = None if cut else read["state"]
                self.reads[line] = Read(line, read["camera"], milliseconds(read["time"]), text, state)
                self._by_key[(fold(text), state)].append(line)
        self.folded = {folded for folded, _state in self._by_key}
        lines = collections.defaultdict(list)
        who = {}
        with _text(truth_path) as file:
            for row in csv.DictReader(file, delimiter="\t"):
                if int(row["line"]) in self.reads:
                    lines[row["vehicle"]].append(int(row["line"]))
                    who[row["vehicle"]] = (row["true_plate"], row["state"])
        self.vehicles = {name: Vehicle(name, *who[name], lines[name]) for name in who}
        times = [read.time for read in self.reads.values()]
        self.first_hour = min(times) // HOUR_MS * HOUR_MS
        self.last_hour = max(times) // HOUR_MS * HOUR_MS
        self.hours = (self.last_hour - self.first_hour) // HOUR_MS + 1
        self.hours_with_reads = len({time // HOUR_MS for time in times})

    def expected(self, plate, state, begin_ms, end_ms):
        """Lines that a search for this plate has to give, in two parts: state read and the same; no state read.

        A search with a state asks twice in one request, under the state and under "unknown": a read whose state the engine
        did not name could be of any state, and the officer is shown it as such.
        """
        folded = fold(canonical(plate)[0])
        inside = lambda line: begin_ms <= self.reads[line].time < end_ms
        return tuple([line for line in self._by_key.get((folded, one), []) if inside(line)] for one in (state, None))

    def draw(self, count, seed):
        """`count` vehicles at random, all with the same chance."""
        names = sorted(self.vehicles)
        return [self.vehicles[name] for name in random.Random(f"vehicles {seed}").sample(names, min(count, len(names)))]

    def absent(self, count, seed):
        """`count` plates (with a state) that no line shows under the fold, in whatever state."""
        rng = random.Random(f"absent {seed}")
        states = sorted({vehicle.state for vehicle in self.vehicles.values()})
        found = {}
        while len(found) < count:
            plate = "".join(rng.choice("ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(2))
            plate += "".join(rng.choice("0123456789") for _ in range(5))
            if fold(plate) not in self.folded:
                found[fold(plate)] = (plate, rng.choice(states))
        return list(found.values())

    def sightings(self, lines):
        """Lines as a multiset of what an officer is shown: camera, Unix ms, text as read."""
        return collections.Counter(self.reads[line][1:4] for line in lines)


def compare(expected, found):
    """How many sightings are missing and how many are extra; both are multisets."""
    return sum((expected - found).values()), sum((found - expected).values())


def against_truth(week, vehicle, found, begin_ms, end_ms):
    """Of the sightings found and the vehicle's passes: (found and its own, found, its own)."""
    own = [line for line in vehicle.lines if begin_ms <= week.reads[line].time < end_ms]
    return sum((week.sightings(own) & found).values()), sum(found.values()), len(own)


def percentile(values, part):
    """Nearest rank; `part` in 0..1."""
    ranked = sorted(values)
    rank = -(-len(ranked) * part // 1)
    return ranked[min(len(ranked), max(1, int(rank))) - 1]


def _text(path):
    if str(path).endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8")
    return open(path, encoding="utf-8")
