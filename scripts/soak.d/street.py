"""The street: a hundred clients that behave as their engines do, the storm of their return, and the count of what was acknowledged."""

import asyncio
import collections
import json
import math
import time

from engines import Read, own_line

# Without characters that the fold makes the same, so that a search of a plate finds its own reads only.
LETTERS = "3479ACEFHJKLMNPRTUVWXY"
CODES = len(LETTERS) ** 5
# Plates that pass again and again.
COMMUTERS = 5_000
# One read in so many is of the hot list. It has no factor in common with a number of cameras, or they would all be one camera's.
HOT_EVERY = 997
# Lines of the own format in one payload of a backlog.
LINES = 50
# A live read that is sent later than this is not measured, ms: its alert may be nobody's any more.
FRESH_MS = 60_000
# Part of an hour of the load that is its peak.
PEAK_PART = 1 / 12
# Longest time for which a camera sleeps without a look at what is going on, seconds.
LOOK_SECONDS = 0.5
# Latency buckets: each a tenth wider than the one before.
BUCKET = math.log(1.1)


def plate(first, number):
    """An invented plate: two letters of its kind, five that count; no two numbers below `CODES` have one text."""
    code, text = number * 3_141_593 % CODES, first
    for _ in range(5):
        code, at = divmod(code, len(LETTERS))
        text += LETTERS[at]
    return text


class Load:
    """How the reads of a run are spread over it. Every `hour` seconds have, in their middle, a peak of so many times the mean."""

    def __init__(self, hour, peak):
        # What is left for the rest, so that the mean is 1.
        low = (1 - peak * PEAK_PART) / (1 - PEAK_PART)
        begin, end = hour * (1 - PEAK_PART) / 2, hour * (1 + PEAK_PART) / 2
        # Time in the hour, and seconds of the mean load that are done by then.
        self.points = [(0.0, 0.0), (begin, begin * low), (end, begin * low + (end - begin) * peak), (hour, hour)]
        self.hour = hour

    def done(self, seconds):
        """Seconds of the mean load after so many of the run."""
        return self._along(seconds, 0, 1)

    def when(self, done):
        """The second of the run in which so much is done."""
        return self._along(done, 1, 0)

    def _along(self, at, given, wanted):
        hours, rest = divmod(at, self.hour)
        for before, after in zip(self.points, self.points[1:]):
            if rest <= after[given]:
                part = (rest - before[given]) / (after[given] - before[given])
                return hours * self.hour + before[wanted] + part * (after[wanted] - before[wanted])
        return (hours + 1) * self.hour


class Latencies:
    """Times of answers, in buckets."""

    def __init__(self):
        self.buckets = collections.Counter()

    def add(self, seconds):
        """Notes one."""
        self.buckets[math.ceil(math.log(max(seconds, 1e-5)) / BUCKET)] += 1

    def report(self):
        """Milliseconds, to a tenth of their value."""
        total, report = sum(self.buckets.values()), {}
        for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            seen = 0
            for bucket in sorted(self.buckets):
                seen += self.buckets[bucket]
                if seen >= part * total:
                    report[name] = round(math.exp(bucket * BUCKET) * 1_000, 1)
                    break
        return {"answers": total, "ms": report}


class Counts:
    """What the clients know. A read is acknowledged once, however often it was sent."""

    def __init__(self):
        self.sent = collections.Counter()
        self.acknowledged = collections.Counter()
        self.given_up = collections.Counter()
        self.of_engine = collections.Counter()
        # Reads sent again after a message of theirs was not taken: they may lie in two cells.
        self.resent = 0
        self.hot_sent = 0
        self.hot_acknowledged = 0
        self.answers = collections.Counter()
        self.wrong = collections.Counter()
        self.calm, self.storm = Latencies(), Latencies()
        # From when a hit is sent to its alert on the terminal; of live reads that are final when they are sent.
        self.told_calm, self.told_storm = Latencies(), Latencies()
        # Acknowledged reads by second of the run.
        self.by_second = collections.Counter()
        self.watched = collections.defaultdict(set)


class Street:
    """All cameras, one event loop."""

    def __init__(self, cameras, address, terms):
        self.cameras = cameras
        self.host, self.port = address
        self.terms = terms
        self.counts = Counts()
        self.numbers = 0
        self.hot = 0
        # No new reads; and: what is left of the backlog is not sent any more, nor anything again.
        self.over = self.cut = False
        self.storming = False
        self.backlog_left = 0
        self.storm_times = {}
        # By camera: when the hits were sent of which the terminal has not told.
        self.untold = collections.defaultdict(collections.deque)
        self.begun = self.begun_ms = None

    # -- reads

    def _read(self, camera, at_ms, late):
        self.numbers += 1
        engine, number = camera.engine, self.numbers
        at_ms -= at_ms % engine.step_ms
        self.counts.sent["backlog" if late else "live"] += 1
        if number % HOT_EVERY == HOT_EVERY // 2:
            self.hot += 1
            self.counts.hot_sent += 1
            return Read(number, plate("HK", self.hot), at_ms, True, late)
        if number in self.terms.watch and engine.names_reads:
            return Read(number, plate("WX", number % self.terms.watched), at_ms, False, late)
        again = engine.names_reads and number % 2 == 0
        return Read(number, plate("TC", number % COMMUTERS) if again else plate("TU", number), at_ms, False, late)

    def _backlog(self, camera, state, count):
        """The next `count` reads of the hours in which the camera had no network."""
        reads = []
        while len(reads) < count and state["left"]:
            state["left"] -= 1
            self.backlog_left -= 1
            at = self.terms.outage_ms + int(state["next"] * self.terms.interval * 1_000) + camera.number
            state["next"] += 1
            reads.append(self._read(camera, at, True))
        if self.backlog_left == 0:
            self.storm_times.setdefault("last_sent", self.now())
        return reads

    def now(self):
        """Seconds since the begin."""
        return time.monotonic() - self.begun

    # -- one camera

    async def _camera(self, camera):
        connection = Connection(self.host, self.port)
        load, phase = self.terms.load, self.terms.interval * (camera.number * 0.618 % 1)
        passed = 0
        backlog = {"left": self.terms.backlog_of(camera.number), "next": 0}
        self.backlog_left += backlog["left"]
        most = LINES if camera.engine.messages is None else 1
        while True:
            # Not cut off towards zero: the first read of every camera would be due at once, and of a time to come.
            due = math.floor((load.done(self.now()) - phase) / self.terms.interval) + 1 if not self.over else passed
            behind = camera.engine.habit.in_order and self.storming and backlog["left"] and not self.cut
            if due > passed and not behind:
                reads = []
                while passed < due and len(reads) < most:
                    at = load.when(phase + passed * self.terms.interval)
                    reads.append(self._read(camera, self.begun_ms + int(at * 1_000), False))
                    passed += 1
            elif self.storming and backlog["left"] and not self.cut:
                reads = self._backlog(camera, backlog, most)
            elif self.over:
                connection.close()
                return
            else:
                wait = load.when(phase + passed * self.terms.interval) - self.now()
                await asyncio.sleep(min(max(wait, 0.001), LOOK_SECONDS))
                continue
            await self._deliver(connection, camera, reads)

    async def _deliver(self, connection, camera, reads):
        """Sends what there is to say about the reads, and counts those that were acknowledged."""
        engine = camera.engine
        if engine.messages is None:
            messages = [("application/x-ndjson", b"".join(own_line(camera, read) for read in reads))]
        else:
            messages = engine.messages(camera, reads[0])
        begin = time.monotonic()
        # What waited behind a backlog is late as well.
        fresh = time.time() * 1_000 - FRESH_MS
        told = 0 if engine.rests else sum(read.hot and not read.late and read.at_ms > fresh for read in reads)
        self.untold[camera.number].extend([begin] * told)
        taken = False
        for kind, body in messages:
            # Held is acknowledged as well.
            taken |= await self._message(connection, camera, kind, body, len(reads))
        where = "backlog" if reads[0].late else "live"
        if not taken:
            self.counts.given_up[where] += len(reads)
            # Its hit may have been told all the same.
            for _ in range(min(told, len(self.untold[camera.number]))):
                self.untold[camera.number].pop()
            return
        self.counts.acknowledged[where] += len(reads)
        self.counts.of_engine[engine.name] += len(reads)
        self.counts.by_second[int(self.now())] += len(reads)
        self.counts.hot_acknowledged += sum(read.hot for read in reads)
        for read in reads:
            if read.plate.startswith("WX"):
                self.counts.watched[read.plate].add((camera.key, read.at_ms))

    async def _message(self, connection, camera, kind, body, reads):
        habit, counts = camera.engine.habit, self.counts
        tries = 0
        while True:
            begun, remade = time.monotonic(), connection.remade
            try:
                status, answer = await asyncio.wait_for(connection.post(camera.path, kind, body), habit.patience)
            except (OSError, EOFError, asyncio.TimeoutError, asyncio.IncompleteReadError) as error:
                connection.close()
                status, answer = ("timeout" if isinstance(error, asyncio.TimeoutError) else "closed"), b""
            else:
                (counts.storm if self.storming and self.backlog_left else counts.calm).add(time.monotonic() - begun)
            counts.answers[f"{camera.engine.name} {status}"] += 1
            counts.resent += reads * (connection.remade - remade)
            if status == 200 and self._is_success(camera, answer, reads):
                return True
            if habit.any_status_is_delivery and isinstance(status, int):
                # It will not come again: the agency must not have answered.
                counts.wrong[f"{camera.engine.name} was answered {status}"] += 1
                return False
            if status not in (503, 429, "closed", "timeout"):
                counts.wrong[f"{camera.engine.name} was answered {status}"] += 1
                return False
            tries += 1
            if (habit.tries is not None and tries >= habit.tries) or self.cut:
                return False
            counts.resent += reads
            await asyncio.sleep(1.0 if status == 429 else habit.pause)

    def _is_success(self, camera, answer, reads):
        engine = camera.engine
        if engine.messages is None:
            said = json.loads(answer)
            return said["accepted"] + said["held"] + said["duplicate"] == reads
        if engine.habit.wants not in answer:
            self.counts.wrong[f"{engine.name} misses {engine.habit.wants.decode()}"] += 1
        return True

    # -- alerts

    def told(self, number):
        """The terminal tells of an alert at a camera."""
        waiting = self.untold[number]
        if waiting:
            latencies = self.counts.told_storm if self.storming and self.backlog_left else self.counts.told_calm
            latencies.add(time.monotonic() - waiting.popleft())

    # -- all of them

    async def run(self, seconds, storm_at):
        """The load for so long; the storm begins at `storm_at`, and the load goes on until it is over."""
        self.begun, self.begun_ms = time.monotonic(), int(time.time() * 1_000)
        clients = [asyncio.create_task(self._camera(camera)) for camera in self.cameras]
        while self.now() < seconds or (self.backlog_left and self.now() < 2 * seconds):
            if not self.storming and self.now() >= storm_at:
                self.storming, self.storm_times["begin"] = True, self.now()
            await asyncio.sleep(0.5)
            self.terms.check()
            for client in clients:
                if client.done():
                    client.result()
        self.over = True
        _done, left = await asyncio.wait(clients, timeout=60)
        self.cut = True
        if left:
            _done, left = await asyncio.wait(left, timeout=60)
        for client in left:
            client.cancel()
            self.counts.wrong["a client did not come to its end"] += 1
        await asyncio.gather(*clients, return_exceptions=bool(left))

    def goodput(self):
        """Acknowledged reads a second: the best ten seconds, the fullest minute, the mean of the storm."""
        last = max(self.counts.by_second, default=0)
        rates = [self.counts.by_second[second] for second in range(last + 1)]
        ten = [sum(rates[at:at + 10]) / 10 for at in range(max(1, len(rates) - 9))]
        begin, end = self.storm_times.get("begin"), self.storm_times.get("last_sent")
        report = {"peak_of_ten_seconds": max(ten), "most_in_a_minute": max(sum(rates[at:at + 60]) for at in range(len(rates)))}
        if end is not None and end > begin:
            whole = rates[math.ceil(begin):int(end) + 1]
            storm = sum(whole) / max(1, len(whole))
            report |= {"storm_seconds": round(end - begin, 1), "storm_mean": round(storm, 1),
                       "storm_of_peak": round(storm / max(ten), 3)}
        return report


class Connection:
    """HTTP/1.1 over plain TCP, kept alive, one payload after another."""

    def __init__(self, host, port):
        self.host, self.port = host, port
        self.reader = self.writer = None
        # Connections that were made anew with a payload.
        self.remade = 0

    async def post(self, path, kind, body):
        """Status and body of the answer. A kept connection that was closed before a byte of the answer is made anew, once."""
        if self.writer is not None:
            try:
                return await self._exchange(path, kind, body)
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                self.close()
                if getattr(error, "partial", b""):
                    raise
                self.remade += 1
        return await self._exchange(path, kind, body)

    async def _exchange(self, path, kind, body):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        head = f"POST {path} HTTP/1.1\r\nhost: soak\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        status = int(head[0].split(" ")[1])
        headers = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
        answer = await self.reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.close()
        return status, answer

    def close(self):
        """Gives the connection up."""
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None
