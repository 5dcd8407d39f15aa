"""Makes a PNG of what a virtual X server shows: picture.py XWD PNG WIDTH HEIGHT, from its upper left corner."""

import struct
import sys
import zlib

source, target, width, height = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
content = open(source, "rb").read()
# XWDFile.h: 25 numbers of 32 bits, big-endian; then the window's name, the colours, the pixels.
header = struct.unpack(">25I", content[:100])
header_bytes, depth, bits, line_bytes, colours = (header[i] for i in (0, 3, 11, 12, 19))
assert header[1] == 7 and depth == 24 and bits == 32, header
pixels = content[header_bytes + 12 * colours :]
rows = []
for y in range(height):
    row = pixels[y * line_bytes : y * line_bytes + 4 * width]
    red, green, blue = row[2::4], row[1::4], row[0::4]
    rows.append(b"\0" + bytes(value for pixel in zip(red, green, blue) for value in pixel))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


with open(target, "wb") as png:
    png.write(b"\x89PNG\r\n\x1a\n")
    png.write(chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)))
    png.write(chunk(b"IDAT", zlib.compress(b"".join(rows), 9)))
    png.write(chunk(b"IEND", b""))
print(len(set(pixels[i : i + 4] for i in range(0, height * line_bytes, 4))), "colours")
