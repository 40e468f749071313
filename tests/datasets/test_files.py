"""Files: packed ones, encodings, and sizes from the heads of images."""

import gzip
import json

import pytest
from PIL import Image

from assigncore.datasets import InputFileError, read_coco, read_dataset
from assigncore.datasets.files import ImageFiles, ids_of_files, image_size

from .images import png_head, write_image


@pytest.mark.parametrize("name", ["a.json.gz", "a.json", "a"])
def test_a_file_packed_by_gzip_is_read_whatever_it_is_called(name, document, tmp_path):
    (tmp_path / name).write_bytes(gzip.compress(json.dumps(document).encode()))
    assert len(read_dataset(tmp_path / name).all_objects) == 4


@pytest.mark.parametrize("cut", [12, 60])
def test_a_cut_off_gzip_file_is_one_line(cut, document, tmp_path):
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(json.dumps(document).encode())[:cut])
    with pytest.raises(InputFileError, match="cut off or broken: gzip"):
        read_coco(path)


@pytest.mark.parametrize(
    ("head", "kind"),
    [(b"PK\x03\x04", "a zip archive"), (b"BZh9", "packed by bzip2"), (b"\xfd7zXZ\x00", "packed by xz")],
)
def test_other_archives_are_named(head, kind, tmp_path):
    (tmp_path / "a.json").write_bytes(head + b"\x00" * 40)
    with pytest.raises(InputFileError, match=f"is {kind}, expected a JSON file"):
        read_coco(tmp_path / "a.json")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "utf-8"])
def test_encodings_that_tell_themselves_are_read(encoding, document, tmp_path):
    document["categories"][0]["name"] = "zèbre"
    path = tmp_path / "a.json"
    path.write_bytes(json.dumps(document, ensure_ascii=False).encode(encoding))
    dataset = read_coco(path)
    assert dataset.class_names == ("zèbre", "ape")
    named = [notice for notice in dataset.notices if notice.startswith("the file is UTF-")]
    assert len(named) == (not encoding.startswith("utf-8"))


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_other_encodings_are_one_line_that_names_them(encoding, document, tmp_path):
    document["categories"][0]["name"] = "zèbre"
    path = tmp_path / "a.json"
    path.write_bytes(json.dumps(document, ensure_ascii=False).encode(encoding))
    with pytest.raises(InputFileError, match=r"is not UTF-8 text: byte 0xe8 .*Windows-1252.*zèbre") as caught:
        read_coco(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "webp", "tiff"])
def test_sizes_are_those_of_the_image(suffix, tmp_path):
    assert image_size(write_image(tmp_path / f"a.{suffix}", 37, 21)) == (37, 21)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sizes_are_turned_as_exif_says(orientation, tmp_path):
    path = write_image(tmp_path / "a.jpg", 40, 24, orientation)
    assert image_size(path) == ((24, 40) if orientation >= 5 else (40, 24))


def test_a_progressive_jpeg_with_a_long_comment(tmp_path):
    Image.new("L", (33, 65)).save(tmp_path / "a.jpg", progressive=True, comment=b"\xff\xc0" * 900)
    assert image_size(tmp_path / "a.jpg") == (33, 65)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\x00", b"\xff\xd8\xff\xc0\x00\x08\x08", b"text"),
        *(png_head(0, 9), png_head(9, 2**32 - 1), png_head(9, 9)[:18], b"II*\x00" + b"\xff" * 50),
        *(b"BM" + bytes(50), b"P6 99999 99999999 255\n", b"RIFF\x00\x00\x00\x00WEBPVP8 "),
    ],
)
def test_what_is_no_image_is_an_os_error(content, tmp_path):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(OSError, match=r"no image|broken|no pixels"):
        image_size(tmp_path / "a.jpg")


def test_image_files_are_found_wherever_they_are(tmp_path):
    write_image(tmp_path / "deep" / "er" / "a.png", 5, 6)
    (tmp_path / "b.png").write_bytes(png_head(8, 9))
    files = ImageFiles(tmp_path)
    assert files.size("a.png") == files.size("train/a.png") == files.size("a") == (5, 6)
    assert files.size("b.png") == files.size("some\\where\\b.png") == (8, 9)
    for name in ("c.png", "", "x" * 5000, "a\0.png"):
        with pytest.raises(OSError, match="there is no"):
            files.size(name)


def test_images_are_called_by_their_files():
    assert ids_of_files(["a/0012.jpg", "a/x.y.jpg", "a\\z.png"]) == [12, "x.y", "z"]
    assert ids_of_files(["12.jpg", "0012.jpg"]) == ["12.jpg", "0012.jpg"]
