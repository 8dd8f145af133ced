"""Does the comparison notice? Each test hands it a result that is wrong in one way."""

import collections
import pathlib
import tempfile
import unittest

import invented
import plain
from answer import Answer
from processes import Failed
from tally import Tally


class Plain(unittest.TestCase):
    def test_canonical_text_as_the_protocol_writes_it(self):
        for raw, want in [
            ("ab-12 345", "AB12345"), ("V-D 001·A", "VD001A"), ("ＡＢ①②x²", "AB12X2"), ("№5", "NO5"), ("ß1", "SS1"),
            ("ı1i", "I1I"), ("蓝苏A8HK52", "蓝苏A8HK52"), ("А123ВС77", "А123ВС77"), ("L8S\u20627353", "L8S7353"),
            ("\u1100\u200d\u1161", "\uac00"), ("----", ""),
        ]:
            self.assertEqual(plain.canonical(raw), (want, False), raw)
        self.assertEqual(plain.canonical("ABCDEFGHIJKLMNOPQ"), ("ABCDEFGHIJKLMNOP", True))
        text, cut = plain.canonical("\U00020000" * 16)
        self.assertTrue(cut and len(text) == 14)

    def test_the_fold(self):
        self.assertEqual(plain.fold("OQDIBZS0182534567GHM"), "000182501825" + "34567GHM")

    def test_times_are_exact(self):
        self.assertEqual(plain.milliseconds("2026-03-02T05:00:27.066Z"), 1_772_427_627_066)
        self.assertEqual(plain.milliseconds("1970-01-01T01:00:00+01:00"), 0)
        self.assertEqual(plain.rfc3339(1_772_427_600_000), "2026-03-02T05:00:00Z")

    def test_a_missing_an_extra_and_a_doubled_sighting_are_counted(self):
        count = collections.Counter
        self.assertEqual(plain.compare(count("aab"), count("aab")), (0, 0))
        self.assertEqual(plain.compare(count("aab"), count("ab")), (1, 0))
        self.assertEqual(plain.compare(count("aab"), count("aabb")), (0, 1))
        self.assertEqual(plain.compare(count("aab"), count("aac")), (1, 1))

    def test_percentiles_by_nearest_rank(self):
        values = list(range(1, 21))
        self.assertEqual([plain.percentile(values, part) for part in (0.5, 0.95, 1.0)], [10, 19, 20])
        self.assertEqual(plain.percentile([7], 0.95), 7)


class Street(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        paths = invented.write(pathlib.Path(self.folder.name), 2_000, 3, 1, plain.now_ms())
        self.paths = paths
        self.week = plain.Week(*paths)

    def test_the_street_holds_the_hard_cases(self):
        week = self.week
        self.assertEqual((week.lines_in_file, len(week.reads), week.hours), (2_000, 2_000, 3))
        self.assertTrue(any(read.state is None for read in week.reads.values()))
        equal = week.sightings(week.reads)
        self.assertTrue(any(count > 1 for count in equal.values()))
        true = {vehicle.name: vehicle.plate for vehicle in week.vehicles.values()}
        plates = list(true.values())
        self.assertGreater(len(plates), len(set(plates)), "one plate in two states")
        misread = [(week.reads[line].text, vehicle.plate) for vehicle in week.vehicles.values() for line in vehicle.lines]
        misread = [(text, plate) for text, plate in misread if text != plate]
        self.assertTrue(any(plain.fold(text) == plain.fold(plate) for text, plate in misread))
        self.assertTrue(any(plain.fold(text) != plain.fold(plate) for text, plate in misread))

    def test_the_index_is_a_plain_scan(self):
        week = self.week
        begin, end = week.first_hour, week.first_hour + 2 * plain.HOUR_MS
        for vehicle in week.draw(20, 5):
            same, unread = week.expected(vehicle.plate, vehicle.state, begin, end)
            slow = [read for read in week.reads.values()
                    if plain.fold(read.text) == plain.fold(vehicle.plate) and begin <= read.time < end]
            self.assertEqual([read.line for read in slow if read.state == vehicle.state], same)
            self.assertEqual([read.line for read in slow if read.state is None], unread)

    def test_absent_plates_are_absent_and_draws_follow_the_seed(self):
        week = self.week
        for plate, state in week.absent(20, 3):
            self.assertEqual(week.expected(plate, state, 0, 1 << 60), ([], []))
            self.assertNotIn(plain.fold(plate), {plain.fold(read.text) for read in week.reads.values()})
        self.assertEqual(week.draw(5, 9), week.draw(5, 9))
        self.assertNotEqual(week.draw(5, 9), week.draw(5, 10))

    def test_one_agency_sees_its_own_cameras_only(self):
        own = plain.Week(*self.paths, agency=invented.AGENCIES[0])
        self.assertTrue(0 < len(own.reads) < 2_000)
        self.assertEqual(own.lines_in_file, 2_000)
        with self.assertRaises(SystemExit):
            plain.Week(*self.paths, agency="nobody")


class Answers(unittest.TestCase):
    """Answers as `lockplate search --json` writes them, right and wrong."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.week = plain.Week(*invented.write(pathlib.Path(folder.name), 2_000, 3, 1, plain.now_ms()))
        self.window = (self.week.first_hour, self.week.last_hour + plain.HOUR_MS)
        # One whose reads are several, with and without a state, so that each can be dropped or moved.
        self.vehicle, (same, unread) = next(
            (vehicle, expected) for vehicle in self.week.draw(len(self.week.vehicles), 1)
            if all(expected := self.week.expected(vehicle.plate, vehicle.state, *self.window)))
        self.right = [self.found(line, "state the same") for line in same]
        self.right += [self.found(line, "state not read") for line in unread]

    def found(self, line, state):
        read = self.week.reads[line]
        time = (plain.EPOCH + read.time * plain.MILLISECOND).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"camera": int(read.camera[-2:]), "time": time, "text": read.text, "merged": 0,
                "proof": {"epoch": "1", "segment_root": "2", "tag": "3"}, "why": {"text": "same text", "state": state}}

    def tally(self, found, **changed):
        document = {"schema": "lockplate/search/1", "result": "found" if found else "no match, checked", "found": found,
                    "culprits": [], "epochs": 3, "epochs_destroyed": 0, "disclosure": 7, **changed}
        tally = Tally()
        cameras = {number: f"gate-{number:02}" for number in range(1, 9)}
        tally.add(self.week, self.vehicle, *self.window, Answer(document, cameras))
        return tally.missing, tally.extra, tally.state_wrong, tally.wrong

    def test_right_and_wrong_answers_are_told_apart(self):
        self.assertEqual(self.tally(self.right), (0, 0, 0, 0))
        self.assertEqual(self.tally(self.right[1:]), (1, 0, 0, 1))
        self.assertEqual(self.tally([]), (len(self.right), 0, 0, 1))
        self.assertEqual(self.tally([*self.right, self.right[0]]), (0, 1, 0, 1))
        late = {**self.right[0], "time": "2020-01-01T00:00:00.000Z"}
        self.assertEqual(self.tally([late, *self.right[1:]]), (1, 1, 0, 1))
        other = {**self.right[0], "why": {"text": "same text", "state": "state not read"}}
        self.assertEqual(self.tally([other, *self.right[1:]]), (0, 0, 2, 1))

    def test_an_answer_that_contradicts_itself_is_refused(self):
        for changed in ({"result": "no match, checked"}, {"disclosure": None}, {"epochs_destroyed": 1}, {"schema": "x"},
                        {"culprits": [{}]}):
            with self.assertRaises(Failed):
                self.tally(self.right, **changed)
        for changed in ({"merged": 1}, {"proof": {}}, {"why": {"text": "same text", "state": "state uncertain"}}):
            with self.assertRaises(Failed):
                self.tally([{**self.right[0], **changed}])


def run():
    """Exit code of the tests."""
    suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromTestCase(case) for case in (Plain, Street, Answers))
    return 0 if unittest.TextTestRunner().run(suite).wasSuccessful() else 1
