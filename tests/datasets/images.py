"""Image files of any size, of nothing but what their heads say, and whole ones."""

import struct

from PIL import Image


def png_head(width, height):
    """Give the first bytes of a PNG, all that a reader of sizes may look at."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", width, height, 8, 2, 0, 0, 0)


def write_image(path, width, height, orientation=None):
    """Write an image in the format of the path's suffix, turned by EXIF if an orientation is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (width, height), (120, 40, 160))
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    image.save(path, exif=exif)
    return path
