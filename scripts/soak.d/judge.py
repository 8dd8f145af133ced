"""What must hold after a soak, decided from the report alone, so that a report with a fault in it can be judged as well (`--self-test`).
No bar of speed is here: how fast this machine was stands in the report."""

import copy
import itertools

# Resident memory that the agency and its sealers together may take, MiB (500 MB, the bar of S10), and one sealer.
RECORDER_MIB_MAX = 476
SEALER_MIB_MAX = 192
# Growth of the agency's resident memory over the second half of the run, MiB, beside what its table of seen reads takes.
GROWTH_MIB_MAX = 40
# Reads after which that table is full: a million hashes, two a read of most engines and one of the others. What it takes then, MiB.
FILLED_READS = 750_000
TABLE_MIB = 100
# How fast the agency's memory may grow after that, MiB an hour; and how long it must be watched for that to be told from noise, minutes.
SLOPE_MIB_AN_HOUR_MAX = 1.0
SLOPE_MINUTES_MIN = 30
# Descriptors more at the end than after the start that are no leak: connections and sealers come and go.
DESCRIPTORS_MORE_MAX = 64


def filled(acknowledged):
    """How full the table of seen reads is, as a part of one."""
    return min(1.0, acknowledged / FILLED_READS)


def growth_mib_max(report):
    """How far the agency's memory may grow in the second half of the run."""
    return round(GROWTH_MIB_MAX + TABLE_MIB * report["memory"]["filled_in_second_half"], 1)


def broken(report):
    """What does not hold, in words; nothing where all holds."""
    reads, cells, memory, hits = (report[name] for name in ("reads", "cells", "memory", "hits"))
    found = []

    def must(holds, words):
        if not holds:
            found.append(words)

    more = cells["sum"] - reads["acknowledged"]
    must(reads["acknowledged"] > 0, "nothing was acknowledged")
    must(more >= 0, f"{-more} acknowledged reads are not in the archive")
    must(more <= reads["given_up"] + reads["resent"],
         f"{more} more cells than acknowledged reads, of {reads['given_up']} given up and {reads['resent']} sent again")
    must(reads["backlog_left"] == 0, f"{reads['backlog_left']} reads of the backlog were not sent")
    must(reads["clock_off"] == 0, f"{reads['clock_off']} reads of a right clock were placed at their time of receipt")
    must(cells["periods_not_closed"] == 0 and cells["spools_left"] == 0, "a period is not closed, or its spool is still there")
    must(cells["live_periods"] > 2 and (cells["late_periods"] > 0 or not reads["backlog"]), "too few periods to speak of")
    must(not report["wrong_answers"], f"answers that must not be: {report['wrong_answers']}")
    must(report["lost_held"] == 0, f"{report['lost_held']} held reads were given up")
    must(memory["recorder_peak_mib"] <= RECORDER_MIB_MAX, f"the agency and its sealers took {memory['recorder_peak_mib']} MiB")
    must(memory["sealer_peak_mib"] <= SEALER_MIB_MAX, f"a sealer took {memory['sealer_peak_mib']} MiB")
    must(memory["growth_second_half_mib"] <= growth_mib_max(report),
         f"the agency grew by {memory['growth_second_half_mib']} MiB in the second half")
    settled = memory["settled"]
    must(settled["minutes"] < SLOPE_MINUTES_MIN or settled["mib_an_hour"] < SLOPE_MIB_AN_HOUR_MAX,
         f"the agency's memory goes on growing, by {settled['mib_an_hour']} MiB an hour")
    for who, count in report["descriptors"].items():
        must(count["end"] - count["early"] <= DESCRIPTORS_MORE_MAX, f"{who}: {count['end']} descriptors at the end, {count['early']} early")
    must(report["expired"]["still_in_the_archive"] == 0,
         f"{report['expired']['still_in_the_archive']} of {report['expired']['periods']} expired periods are still in the archive")
    must(hits["acknowledged"] <= hits["alerts"], "a hit raised no alert")
    must(hits["alerts"] <= hits["sent"], "more alerts than hits")
    must(hits["lost"] == 0, f"{hits['lost']} hits could not be stored as alerts")
    must(report["told"]["untold"] == 0, f"{report['told']['untold']} live hits were not told at the terminal")
    must(report["told"]["calm"]["answers"] > 0, "no alert was told at the terminal")
    must(report["watched"]["searched"] > 0 and report["watched"]["wrong"] == 0, "a search did not find exactly what was acknowledged")
    load = report["rated_load"]
    must(not load["alarm_before_the_storm"], "the alarm of the rated load before the storm")
    must(load["alarm"] or not load["passed"], "no alarm of the rated load")
    must(set(report["exit_codes"].values()) == {0}, f"exit codes: {report['exit_codes']}")
    must(set(report["doctor"].values()) == {"clean"}, f"doctor: {report['doctor']}")
    must(not report["panics"], "a process panicked")
    return found


GOOD = {
    "reads": {"acknowledged": 1_000, "given_up": 3, "resent": 2, "backlog": 100, "backlog_left": 0, "clock_off": 0},
    "cells": {"sum": 1_000, "periods_not_closed": 0, "spools_left": 0, "live_periods": 5, "late_periods": 2},
    "wrong_answers": {}, "lost_held": 0, "panics": 0,
    "memory": {"recorder_peak_mib": 120.0, "sealer_peak_mib": 20.0, "growth_second_half_mib": 1.0, "filled_in_second_half": 0.0,
               "settled": {"minutes": 40.0, "mib_an_hour": 0.5}},
    "descriptors": {"agency": {"early": 150, "end": 160, "most": 170}}, "expired": {"periods": 3, "still_in_the_archive": 0},
    "hits": {"sent": 10, "acknowledged": 9, "alerts": 10, "lost": 0},
    "told": {"calm": {"answers": 8}, "untold": 0}, "watched": {"searched": 5, "wrong": 0},
    "rated_load": {"passed": True, "alarm": True, "alarm_before_the_storm": False},
    "exit_codes": {"agency": 0}, "doctor": {"agency": "clean"},
}
# One that is too short to fill the table of seen reads, and has no backlog.
SHORT = copy.deepcopy(GOOD)
SHORT["reads"]["backlog"] = SHORT["cells"]["late_periods"] = 0
SHORT["memory"].update(growth_second_half_mib=44.0, filled_in_second_half=0.05, settled={"minutes": 0.0, "mib_an_hour": None})
# Where, what instead, and a word of what must be said.
FAULTS = (
    (("cells", "sum"), 999, "not in the archive"), (("cells", "sum"), 1_006, "more cells"),
    (("reads", "acknowledged"), 0, "nothing"), (("reads", "backlog_left"), 1, "backlog"), (("reads", "clock_off"), 1, "right clock"),
    (("cells", "periods_not_closed"), 1, "not closed"), (("cells", "spools_left"), 1, "spool"), (("cells", "live_periods"), 1, "too few"),
    (("wrong_answers",), {"openalpr was answered 503": 1}, "503"), (("lost_held",), 1, "held"),
    (("memory", "recorder_peak_mib"), 477.0, "took"), (("memory", "sealer_peak_mib"), 193.0, "sealer"),
    (("memory", "growth_second_half_mib"), 46.0, "grew"),
    (("memory", "settled"), {"minutes": 31.0, "mib_an_hour": 1.5}, "goes on growing"), (("descriptors", "agency", "end"), 215, "descriptors"),
    (("expired", "still_in_the_archive"), 1, "expired"),
    (("hits", "alerts"), 8, "no alert"), (("hits", "alerts"), 11, "more alerts"), (("hits", "lost"), 1, "stored"),
    (("told", "untold"), 1, "not told"), (("told", "calm", "answers"), 0, "no alert"), (("watched", "wrong"), 1, "search"), (("watched", "searched"), 0, "search"),
    (("rated_load", "alarm"), False, "no alarm"), (("rated_load", "alarm_before_the_storm"), True, "before the storm"),
    (("exit_codes",), {"agency": None}, "exit codes"), (("doctor",), {"agency": "not clean"}, "doctor"), (("panics",), 1, "panicked"),
)


def self_test():
    """Exit code: 0 if the good report is good and each fault is named."""
    failures = [f"a good report: {broken(good)}" for good in (GOOD, SHORT) if broken(good)]
    for good, (path, value, word) in itertools.product((GOOD, SHORT), FAULTS):
        report = copy.deepcopy(good)
        place = report
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value
        said = "; ".join(broken(report))
        if word not in said:
            failures.append(f"{path} = {value}: said {said!r}, without {word!r}")
    print("\n".join(failures) or f"each of {len(FAULTS)} faults is noticed")
    return 1 if failures else 0
