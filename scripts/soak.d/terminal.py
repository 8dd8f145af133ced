"""An officer's terminal beside the load: when the alert of a hit is told there."""

import asyncio
import json

from processes import Failed, die_with_parent


class Terminal:
    """`lockplate agency alerts` as a process, read line by line."""

    def __init__(self, command, street):
        self.command, self.street = command, street
        self.child = None

    async def run(self):
        """Until it is cancelled; a terminal that ends by itself is a fault."""
        self.child = await asyncio.create_subprocess_exec(
            *map(str, self.command), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, preexec_fn=die_with_parent)
        try:
            while line := await self.child.stdout.readline():
                said = json.loads(line)
                if said["event"] == "alert":
                    self.street.told(int(said["alert"]["place"].removeprefix("Crossing ")))
            words = (await self.child.stderr.read(2_000)).decode(errors="replace")
            raise Failed(f"the terminal of alerts ended with exit code {await self.child.wait()}\n{words}")
        finally:
            if self.child.returncode is None:
                self.child.terminate()
                await self.child.wait()
