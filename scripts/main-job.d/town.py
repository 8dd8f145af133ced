"""An agency and three keepers, founded and run as people would: every step is a command of the binary."""

import base64
import csv
import itertools
import json
import secrets
import shutil
import sqlite3

import plain
from answer import Answer
from processes import Process, bytes_in, free_ports, get, run

KEEPERS = [("Town Clerk", "Town of Millbrook"), ("County Court", "County of Ashfield"), ("Press Trust", "Ashfield Press Trust")]
STATE = "ME"
DAY = 86_400
RETENTION_DAYS_MIN = 400
PURPOSE = "stolenVehicle"
FACTS = "The owner reported the vehicle stolen this morning."
COMMAND_SECONDS = 60
SEARCH_SECONDS = 300
IMPORT_SECONDS = 3_600


class Town:
    """One owner agency of state ME, three keepers of three legal entities, officers with key file and passcode."""

    # What another town may want otherwise.
    epoch_seconds = 3_600
    further_ports = 0

    def __init__(self, binary, folder, officers, per_officer, oldest_ms, say, verbose=0):
        self.binary = binary
        self.folder = folder
        self.officers = [folder / f"officer-{number}" for number in range(1, officers + 1)]
        self.per_officer = per_officer
        # `next` of it is one step, also for searches side by side.
        self.numbers = itertools.count()
        self.say = say
        self.verbose = ["--verbose"] * verbose
        age_days = (plain.now_ms() - oldest_ms) // (DAY * 1_000)
        self.retention_days = max(RETENTION_DAYS_MIN, age_days + 30)
        self.ports = free_ports(1 + len(KEEPERS) + self.further_ports)
        self.agency = folder / "agency"
        self.config = self.agency / "agency.toml"
        self.keepers = [folder / f"keeper-{place}" for place in range(1, len(KEEPERS) + 1)]
        self.processes = []
        self.cameras = {}

    def _lockplate(self, what, *arguments, **options):
        return run([self.binary, *arguments], what, **{"timeout": COMMAND_SECONDS, **options})[1]

    def _url(self, at):
        return f"https://127.0.0.1:{self.ports[at]}"

    # -- founding

    def found(self, cameras_path):
        """Keys, cards, charter, signatures, officers."""
        self._lockplate("agency init", "agency", "init", "--folder", self.agency, "--name", "Millbrook Police",
                        "--ori", "ME0010100", "--state", STATE, "--level", "local", "--host", "alpr.millbrook.example",
                        "--url", self._url(0))
        for at, ((name, entity), keeper) in enumerate(zip(KEEPERS, self.keepers), 1):
            self._lockplate("keeper init", "keeper", "init", "--folder", keeper, "--name", name, "--legal-entity", entity,
                            "--host", f"keeper-{at}.example", "--url", self._url(at), "--human", self.folder / f"human-{at}.pem")
        cards = [json.loads((keeper / "card.json").read_text()) for keeper in self.keepers]
        terms = [
            "keepers = [%s]" % ", ".join(f'"{keeper.name}/card.json"' for keeper in self.keepers),
            "threshold = 2",
            f"epoch_seconds = {self.epoch_seconds}",
            f"retention_seconds = {self.retention_seconds()}",
            # The keepers themselves are the policy's signers.
            "policy_signers = [%s]" % ", ".join(f'"{card["key"]}"' for card in cards),
            "policy_quorum = 2",
        ]
        (self.folder / "terms.toml").write_text("\n".join(terms) + "\n")
        self._lockplate("agency charter draft", "agency", "charter", "draft", "--folder", self.agency,
                        "--terms", self.folder / "terms.toml")
        for at, keeper in enumerate(self.keepers, 1):
            self._lockplate("keeper sign-charter", "keeper", "sign-charter", "--folder", keeper,
                            "--draft", self.agency / "charter.draft", "--listen", f"127.0.0.1:{self.ports[at]}")
        signatures = [part for keeper in self.keepers for part in ("--signature", keeper / "charter.sig")]
        assembled = self._lockplate("agency charter assemble", "--json", "agency", "charter", "assemble", "--folder",
                                    self.agency, *signatures)
        self.charter_hash = json.loads(assembled)["hash"]
        for keeper in self.keepers:
            shutil.copy(self.agency / "charter.auth", keeper / "charter.auth")
        self.config.write_text(self.agency_toml())
        for officer in self.officers:
            self._add_officer(officer)
        self.write_cameras(cameras_path)

    def retention_seconds(self):
        """What the charter says."""
        return self.retention_days * DAY

    def agency_toml(self):
        """The agency's configuration."""
        return (f'data = "data"\n\n[listen]\naddress = "127.0.0.1:{self.ports[0]}"\n\n[keys]\nimport = "keys/import.key"\n\n'
                '[recorder]\ncharter = "charter.auth"\n\n[desk]\n')

    def write_cameras(self, cameras_path):
        """The register's file, from that of the reads."""
        with open(cameras_path, newline="", encoding="utf-8") as file:
            cameras = list(csv.DictReader(file))
        with open(self.folder / "cameras.csv", "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["key", "place", "lat", "lon", "group", "source"])
            for camera in cameras:
                table.writerow([camera["camera"], f"{camera['road']}, {camera['camera']}", camera["lat"], camera["lon"],
                                camera["agency"], ""])

    def _add_officer(self, officer):
        card = json.loads((self.agency / "card.json").read_text())
        officer.mkdir(mode=0o700)
        passcode = officer / "passcode"
        passcode.touch(mode=0o600)
        passcode.write_text(secrets.token_hex(8) + "\n")
        self._lockplate("agency officer add", "--config", self.config, "agency", "officer", "add", "--key",
                        officer / "officer.pem", "--trained-until", plain.rfc3339((plain.now_ms() // 1_000 + 90 * DAY) * 1_000),
                        "--passcode-file", passcode)
        shutil.copy(self.agency / "charter.auth", officer / "charter.auth")
        (officer / "officer.toml").write_text(
            f'charter = "charter.auth"\ncharter_hash = "{self.charter_hash}"\nagency = "{card["id"]}"\n'
            f'desk = "{self._url(0)}"\ndesk_pin = "{card["tls_pin"]}"\nkey = "officer.pem"\npasscode_file = "passcode"\n'
            'folder = "searches"\n')

    # -- running

    def start(self):
        """Keepers, then the agency; ready when an epoch with receipts takes reads. Then the cameras."""
        for at, keeper in enumerate(self.keepers, 1):
            self._start(f"keeper-{at}", "keeper", keeper / "keeper.toml")
        for at, keeper in enumerate(self.keepers, 1):
            self.processes[at - 1].wait_until_ready(self._url(at), keeper / "data" / "keys" / "tls.crt")
        self._start("agency", "agency", self.config)
        certificate = self.agency / "data" / "keys" / "tls.crt"
        self.processes[-1].wait_until_ready(self._url(0), certificate)
        # A leaf for each camera, and the register anew: a county's take minutes.
        self._lockplate("agency camera import", "--config", self.config, "agency", "camera", "import",
                        self.folder / "cameras.csv", timeout=IMPORT_SECONDS)
        listed = json.loads(get(f"{self._url(0)}/v1/cameras", certificate))
        self.cameras = {camera["camera"]: camera["key"] for camera in listed["cameras"]}

    def _start(self, name, verb, config):
        self.processes.append(Process(name, [self.binary, *self.verbose, "--config", config, verb], self.folder))

    def check(self):
        """Fails if a process has ended by itself."""
        for process in self.processes:
            process.check()

    def import_file(self, reads, agency):
        """`lockplate import`; returns its counts."""
        group = ["--agency", agency] if agency else []
        said = self._lockplate("import", "--json", "--config", self.config, "import", "--fields", "traffic",
                               "--trust-jurisdiction", "--state", self.folder, *group, reads, timeout=IMPORT_SECONDS)
        report = json.loads(said)["files"][0]["report"]
        return {name: report[name] for name in ("accepted", "duplicate", "unreadable", "skipped", "rejected")}

    def search(self, plate, state, begin_ms, end_ms):
        """One search that files, waits and opens; the next officer after so many."""
        number = next(self.numbers)
        officer = self.officers[min(number // self.per_officer, len(self.officers) - 1)]
        said = self._lockplate(
            "search", "--json", "--config", officer / "officer.toml", "search", "--plate", plate,
            "--state", f"US-{state}", "--purpose", PURPOSE, "--case", f"2026-{number:05}", "--facts", FACTS,
            "--from", plain.rfc3339(begin_ms), "--to", plain.rfc3339(end_ms), timeout=SEARCH_SECONDS)
        return Answer(json.loads(said), self.cameras)

    def stop(self):
        """SIGTERM to all, agency first; their exit codes."""
        return {process.name: process.stop() for process in reversed(self.processes)}

    def doctor(self):
        """What `lockplate doctor --store` says of each data folder: `clean`, `not clean`, `could not check`."""
        if "doctor" not in run([self.binary, "--help"], "help", timeout=COMMAND_SECONDS)[1]:
            return {"all": "could not check"}
        folders = {"agency": self.agency, **{keeper.name: keeper for keeper in self.keepers}}
        said = {}
        for name, folder in folders.items():
            code, text = run([self.binary, "--json", "doctor", "--store", folder / "data"], "doctor", allowed=range(256),
                             timeout=COMMAND_SECONDS * 5)
            said[name] = {0: "clean", 7: "not clean"}.get(code, "could not check")
            if code != 0:
                self.say(f"doctor on {name}: exit {code}\n{text[:2_000]}")
        return said

    # -- measuring

    def epoch_rows(self):
        """Of each epoch: its folder in the archive, its state (3 is closed, 4 closed and forgotten by the archive), and the second at which
        its retention ends. The agency has ended."""
        with sqlite3.connect(f"file:{self.agency / 'data' / 'agency.db'}?mode=ro", uri=True) as db:
            rows = db.execute("SELECT id, state, destroy_after FROM epoch").fetchall()
        return [(base64.urlsafe_b64encode(name).decode().rstrip("="), state, end) for name, state, end in rows]

    def sizes(self):
        """Bytes on disk by what they are."""
        data = self.agency / "data"
        return {
            "archive": bytes_in(data / "archive"), "log": bytes_in(data / "log"), "spool": bytes_in(data / "spool"),
            "database": sum(bytes_in(path) for path in data.glob("agency.db*")),
            "three keepers": sum(bytes_in(keeper / "data") for keeper in self.keepers),
        }

    def peaks(self):
        """Most memory of each process, MiB."""
        return {process.name: round(process.peak_mib(), 1) for process in self.processes}
