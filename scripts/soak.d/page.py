"""The report of a soak as a page in Markdown. It says what was measured and what was judged, from the report alone."""

import os
import platform

import judge


def written(report):
    """The page."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report):
    kind = "Soak at the rated load of a big county" if report["rated"] else "Soak"
    reads, cells, memory, hits = (report[name] for name in ("reads", "cells", "memory", "hits"))
    yield f"# {kind}, {report['minutes']:g} minutes, seed {report['seed']}"
    yield ""
    yield (f"{platform.machine()}, {os.cpu_count()} cores, load average at the end {os.getloadavg()[0]:.1f}; cameras, agency, keepers and "
           f"terminal on this one machine.")
    yield ""
    yield "| What | Measured |"
    yield "|---|---|"
    rows = [
        ("Load", f"{report['cameras']:,} cameras, {report['reads_a_second']:g} reads/s on average, the fullest minute "
                 f"{report['goodput']['most_in_a_minute'] / 60:,.0f} reads/s, the best ten seconds {report['goodput']['peak_of_ten_seconds']:,.0f}"),
        ("Acknowledged", f"{reads['acknowledged']:,} ({reads['live']:,} live, {reads['backlog']:,} of the backlog)"),
        ("In the archive", f"{cells['sum']:,} cells"),
        ("Given up without an answer, sent again", f"{reads['given_up']:,}, {reads['resent']:,}"),
        ("Periods", f"{cells['live_periods']} live, {cells['late_periods']} late, of {report['epoch_seconds']} s; "
                    f"the largest {cells['most_in_a_period']:,} cells"),
        ("Expired periods, kept for " + f"{report['retention_seconds']:,} s",
         f"{report['expired']['periods']}, of them still in the archive {report['expired']['still_in_the_archive']}"),
        ("Memory of the agency", f"at most {memory['agency_peak_mib']} MiB, at the end {memory['agency_end_mib']}"),
        ("Memory of its sealers", f"at most {memory['sealer_peak_mib']} MiB each, {memory['sealers_peak']} at once"),
        ("Memory of the agency and its sealers together", f"at most {memory['recorder_peak_mib']} MiB, bound {judge.RECORDER_MIB_MAX}"),
        ("Growth of the agency's memory, second half",
         f"{memory['growth_second_half_mib']:+} MiB, bound {judge.growth_mib_max(report)} ({memory['slope_second_half_mib_an_hour']:+} MiB/h)"),
        ("The same once the table of seen reads is full", _settled(memory["settled"])),
    ]
    for who, count in report["descriptors"].items():
        rows.append((f"Descriptors, {who}", f"{count['early']} early, {count['end']} at the end, {count['most']} at most"))
    for name, said in report["latency"].items():
        if said["answers"]:
            rows.append((f"Answers, {'in' if name == 'storm' else 'outside of'} a storm", _times(said)))
    for name in ("calm", "storm"):
        if report["told"][name]["answers"]:
            rows.append((f"From a hit to the terminal, {'in' if name == 'storm' else 'outside of'} a storm", _times(report["told"][name])))
    rows.append(("Hits", f"{hits['sent']} sent, {hits['acknowledged']} acknowledged, {hits['alerts']} alerts"))
    rows.append(("Searches of watched plates", f"{report['watched']['searched']}, of them wrong {report['watched']['wrong']}"))
    yield from (f"| {name} | {value} |" for name, value in rows)
    yield ""
    yield "**Everything held.**" if not report["broken"] else "**Does not hold:** " + "; ".join(report["broken"])


def _times(said):
    times = said["ms"]
    return f"{said['answers']:,}: p50 {times['p50']} ms, p99 {times['p99']} ms, longest {times['max']} ms"


def _settled(settled):
    if settled["mib_an_hour"] is None:
        return "not judged: the run is too short"
    return f"{settled['mib_an_hour']:+} MiB/h over {settled['minutes']} min"
