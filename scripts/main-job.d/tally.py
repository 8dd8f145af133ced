"""Comparison of answers with the plain scan, summed up in counts."""

import plain


class Tally:
    """What the searches came to, in counts."""

    def __init__(self):
        self.searches = self.found = self.missing = self.extra = self.wrong = 0
        self.state_wrong = 0
        self.same_text = self.folded = self.state_unread = 0
        self.own = [0, 0, 0]
        self.own_state_read = [0, 0, 0]
        self.vehicles_seen = 0

    def add(self, week, vehicle, begin, end, answer):
        """Compares one answer with the plain scan."""
        same, unread = week.expected(vehicle.plate, vehicle.state, begin, end)
        of_state, of_no_state = answer.sightings()
        missing, extra = plain.compare(week.sightings(same + unread), of_state + of_no_state)
        # The same, each part by itself: a read whose state was not read must be shown as such.
        parts = [plain.compare(week.sightings(lines), found) for lines, found in ((same, of_state), (unread, of_no_state))]
        self.searches += 1
        self.found += answer.count()
        self.missing += missing
        self.extra += extra
        self.state_wrong += max(0, sum(map(sum, parts)) - missing - extra)
        self.wrong += int(parts != [(0, 0), (0, 0)])
        self.same_text += answer.same_text
        self.folded += answer.count() - answer.same_text
        self.state_unread += sum(of_no_state.values())
        for total, found in ((self.own, of_state + of_no_state), (self.own_state_read, of_state)):
            for at, count in enumerate(plain.against_truth(week, vehicle, found, begin, end)):
                total[at] += count
        self.vehicles_seen += int(answer.count() > 0)
