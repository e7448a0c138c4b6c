"""Read a recording through faery and write its packets to standard output: python faery_process.py KIND PATH ...

It is a process of its own, as damage makes faery's compiled part abort its process or print a backtrace, and
neither can be caught. KIND is aedat, with a stream's number and how many packets to read of all streams, or es.
For each packet, the number of its bytes is written, as a little-endian int64, and its bytes, of `PACKET` of
`faery_files`; then `END`, or `FAILED` or `MISSING` with the length of a text and the text.
"""

import struct
import sys

END, FAILED, MISSING = -1, -2, -3


def packets(kind, path, *numbers):
    """Yield faery's arrays of events, one after another."""
    import faery
    from faery.extension import aedat

    if kind != "aedat":
        yield from faery.events_stream_from_file(path, file_type=kind)
        return
    stream, n_packets = map(int, numbers)
    with aedat.Decoder(path) as decoder:
        for _, (track, packet) in zip(range(n_packets), decoder):  # asks for no packet after the last
            if track.id == stream:
                yield packet


def write_packets(output, arguments):
    """Write the packets, and then how reading ended."""
    try:
        for packet in packets(*arguments):
            output.write(struct.pack("<q", packet.nbytes) + packet.tobytes())
        output.write(struct.pack("<q", END))
    except BaseException as error:  # a panic of compiled code is no Exception
        text = str(error).encode("utf-8", "replace")
        kind = MISSING if isinstance(error, ImportError) else FAILED
        output.write(struct.pack("<qq", kind, len(text)) + text)
    output.flush()


if __name__ == "__main__":
    del sys.path[0]  # the folder of this file, whose modules are part of a package
    write_packets(sys.stdout.buffer, sys.argv[1:])
