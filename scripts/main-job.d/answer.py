"""What `lockplate search --json` said, as sightings that can be compared with the plain scan."""

import collections

import plain
from processes import Failed

STATE_SAME = "state the same"
STATE_NOT_READ = "state not read"


class Answer:
    """One answer. `cameras` maps numbers of the register to the keys of the file."""

    def __init__(self, document, cameras):
        if document.get("schema") != "lockplate/search/1" or document.get("culprits"):
            raise Failed("an answer is not of the schema lockplate/search/1, or names a culprit")
        self.no_match = document["result"] == "no match, checked"
        self.epochs = document["epochs"]
        self.same_text = 0
        self._of_state = collections.Counter()
        self._of_no_state = collections.Counter()
        if self.no_match != (not document["found"]) or document["epochs_destroyed"] or document["disclosure"] is None:
            raise Failed("an answer contradicts itself, or its disclosure is not in the register")
        for found in document["found"]:
            if found["merged"] or not all(found["proof"].get(part) for part in ("epoch", "segment_root", "tag")):
                raise Failed("a found read lacks its proof, or stands for several")
            sighting = (cameras[found["camera"]], plain.milliseconds(found["time"]), found["text"])
            state = found["why"]["state"]
            if state == STATE_SAME:
                self._of_state[sighting] += 1
            elif state == STATE_NOT_READ:
                self._of_no_state[sighting] += 1
            else:
                raise Failed(f"a found read is said to be of: {state}")
            self.same_text += int(found["why"]["text"] == "same text")

    def sightings(self):
        """Those whose state was read, and those whose state was not."""
        return self._of_state, self._of_no_state

    def count(self):
        """Reads found."""
        return sum(self._of_state.values()) + sum(self._of_no_state.values())
