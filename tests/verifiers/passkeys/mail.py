"""A mail server for a test: aiosmtpd on loopback writes each mail that it gets to FOLDER/1.eml, 2.eml, ..

    python mail.py PORT FOLDER

Says READY when it listens; runs until it is killed.
"""
import itertools
import pathlib
import sys
import threading

from aiosmtpd.controller import Controller


class Folder:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.numbers = itertools.count(1)

    async def handle_DATA(self, server, session, envelope):
        text = envelope.content.decode("utf-8").replace("\r\n", "\n")
        whole = self.folder / ("%d.eml" % next(self.numbers))
        # Under its name only when it is all there.
        part = self.folder.parent / (self.folder.name + ".part")
        part.write_text(text)
        part.rename(whole)
        return "250 taken"


controller = Controller(Folder(sys.argv[2]), hostname="127.0.0.1", port=int(sys.argv[1]))
controller.start()
print("READY", flush=True)
threading.Event().wait()
