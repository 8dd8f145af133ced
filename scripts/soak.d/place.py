"""The town of the main job with cameras that post: a source for each, short periods, a hot list in force."""

import csv
import hashlib
import json
import os
import pathlib
import sqlite3

import plain
from processes import Failed, get
from street import plate
from town import STATE, Town

LIST = "stolen"
# Longer than a read is held.
OVERLAP_SECONDS = 40
# The agency looks for expired epochs every ten seconds; one that closes is told to its keepers first.
DROP_SECONDS = 60
DAY_MS = 86_400_000


class Place(Town):
    """An agency with sources and a hot list, three keepers, two officers: the first load of a list takes two people."""

    further_ports = 1

    def __init__(self, binary, folder, cameras, terms, say):
        super().__init__(binary, folder, officers=2, per_officer=100, oldest_ms=terms.outage_ms, say=say)
        self.posting = cameras
        self.epoch_seconds = terms.epoch_seconds
        self.terms = terms

    def retention_seconds(self):
        """Short where epochs are to expire in the run."""
        return self.terms.retention_seconds or super().retention_seconds()

    @property
    def lan(self):
        """Address that the cameras post to."""
        return "127.0.0.1", self.ports[-1]

    def agency_toml(self):
        """With a source a camera. Late periods are as many as a storm wants; everything else is as it comes, but for the overlap,
        which must be longer than a read is held."""
        recorder = (f'[recorder]\nlan = "127.0.0.1:{self.ports[-1]}"\noverlap_seconds = {OVERLAP_SECONDS}\n'
                    f"late_idle_seconds = 30\nlate_epochs_per_day_max = 4000\nrated_reads_per_second = {self.terms.rated}\n")
        text = super().agency_toml().replace("[recorder]\n", recorder)
        for camera in {camera.source: camera for camera in self.posting}.values():
            text += (f'\n[[intake.source]]\nname = "{camera.source}"\nengine = "{camera.engine.name}"\n'
                     f'token_sha256 = "{hashlib.sha256(camera.token).hexdigest()}"\nlan = true\n')
            text += 'zone = "UTC"\n' if camera.engine.zone else ""
            text += f'camera = "{camera.key}"\n' if camera.engine.fixed_camera else ""
        return text

    def write_cameras(self, _path):
        """The register's file."""
        with open(self.folder / "cameras.csv", "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["key", "place", "lat", "lon", "group", "source"])
            table.writerows([camera.key, f"Crossing {camera.number}", "", "", "", camera.source] for camera in self.posting)

    def load_hot_list(self, entries):
        """A list of invented plates, registered and loaded by a steward, in force when this returns."""
        officer = self.officers[0] / "officer.toml"
        now = plain.now_ms()
        header = {"list": LIST, "mode": "full", "sequence": 1, "produced_at": plain.rfc3339(now), "entries": entries}
        entry = {"jurisdiction": f"US-{STATE}", "class": "stolenVehicle", "offence": "felony", "basis": "statutoryDuty",
                 "entered_at": plain.rfc3339(now - DAY_MS), "expires_at": plain.rfc3339(now + 2 * DAY_MS), "agency": "ME0010100"}
        file = self.folder / "stolen.ndjson"
        with open(file, "w", encoding="utf-8") as out:
            for line in [header, *({"entry_id": f"e{at}", "plate": plate("HK", at), **entry} for at in range(1, entries + 1))]:
                out.write(json.dumps(line) + "\n")
        steward = ["agency", "hotlist", "--config", officer]
        self._lockplate("hotlist new", *steward, "new", "--name", LIST, "--kind", "extract")
        said = json.loads(self._lockplate("hotlist load", "--json", *steward, "load", file, "--list", LIST,
                                          "--second", self.officers[1] / "officer.pem", allowed=(0, 4)))
        if said["load"]["state"] != "live" or said["load"]["entries"] != entries:
            raise Failed(f"the hot list is not in force: {said['load']}")

    # -- looking

    def terminal(self):
        """The command of an officer who watches alerts."""
        return [self.binary, "--json", "agency", "alerts", "--config", self.officers[0] / "officer.toml"]

    def _get(self, path):
        return json.loads(get(f"{self._url(0)}{path}", self.agency / "data" / "keys" / "tls.crt"))

    def intake(self):
        """What intake counts."""
        return self._get("/v1/intake/health")

    def alerts(self):
        """What the desk of alerts counts."""
        return self._get("/v1/alerts/health")

    def memory(self):
        """MiB that the agency has in memory for itself, and each of its sealers by process number. The pages of the program, which all of
        them share and sealers lock, do not count."""
        agency = self.processes[-1].child.pid
        sealers = {}
        for task in _listed(f"/proc/{agency}/task"):
            for child in _text(f"/proc/{agency}/task/{task}/children").split():
                sealers[int(child)] = _own_memory(child)
        return _own_memory(agency), sealers

    def handles(self):
        """Open descriptors of the agency and of its keepers together."""
        agency, *keepers = (len(_listed(f"/proc/{process.child.pid}/fd")) for process in reversed(self.processes))
        return agency, sum(keepers)

    def expired(self, at):
        """Periods whose reads must be gone by second `at`, and those of them of which something is in the archive. The agency has ended."""
        archive = self.agency / "data" / "archive"
        folders = [folder for folder, state, end in self.epoch_rows() if state in (3, 4) and end <= at - DROP_SECONDS]
        return len(folders), sum((archive / folder).exists() for folder in folders)

    def cells(self):
        """Sealed reads by kind of period, and periods that are not closed as they should be. The agency has ended."""
        with sqlite3.connect(f"file:{self.agency / 'data' / 'agency.db'}?mode=ro", uri=True) as db:
            rows = db.execute("SELECT kind, cap_from, state, orphaned, cells FROM epoch").fetchall()
        # 3 is closed, 4 closed and past its retention.
        epochs = [{"kind": {1: "live", 2: "late"}.get(kind, "other"), "from": begin, "cells": cells,
                   "whole": state in (3, 4) and not orphaned} for kind, begin, state, orphaned, cells in rows]
        left = [path.name for path in pathlib.Path(self.agency / "data" / "spool").glob("*") if path.is_file()]
        return epochs, left

    def traced(self, words):
        """Lines in which the agency says `words`."""
        return sum(words in line for line in open(self.processes[-1].output, encoding="utf-8", errors="replace"))


def _listed(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _text(path):
    # A process may end while it is looked at.
    try:
        return pathlib.Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _own_memory(pid):
    lines = _text(f"/proc/{pid}/status").splitlines()
    return next((int(line.split()[1]) / 1_024 for line in lines if line.startswith("RssAnon")), 0.0)
