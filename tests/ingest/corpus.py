"""What a camera, or a person with a browser, may put into the inbox; all of it made here."""

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

SIDE = 64  # of the photographs
SUFFIXES = {"PNG": "png", "JPEG": "jpg", "BMP": "bmp", "TIFF": "tif", "WEBP": "webp"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A file and what becomes of it: `words` of the reason for which it is refused, None when it is accepted."""

    name: str
    content: bytes
    words: str | None = None
    bit_depth: int = 8

    @property
    def stem(self) -> str:
        """The name without what would end it as a file's."""
        return self.name.rpartition(".")[0]


def noise(name: str, *shape: int, top: int = 256) -> np.ndarray:
    """Random values below `top`, others for each name."""
    return np.random.default_rng(zlib.crc32(name.encode())).integers(0, top, shape or (SIDE, SIDE, 3))


def photograph(name: str, mode: str = "RGB", side: int = SIDE) -> Image.Image:
    return Image.fromarray(noise(name, side, side, 3).astype(np.uint8)).convert(mode)


def saved(image: Image.Image, format: str = "PNG", **how: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **how)
    return stream.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, colour: int, packed: bytes, *more: bytes) -> bytes:
    """A PNG from its zlib stream; `more` are chunks before it."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def png_bomb(side: int) -> bytes:
    """A whole PNG of side x side black pixels, packed row by row."""
    packer, row = zlib.compressobj(9), bytes(1 + (side + 7) // 8)
    return png(side, side, 1, 0, b"".join(packer.compress(row) for _ in range(side)) + packer.flush())


def deep_png(name: str, top: int, colour: bool = False) -> bytes:
    values = noise(name, SIDE, SIDE, 3 if colour else 1, top=top).astype(">u2")
    return png(SIDE, SIDE, 16, 2 if colour else 0, zlib.compress(b"".join(b"\0" + row.tobytes() for row in values)))


def tiff(width: int, height: int, *, samples: int = 1, bits: int = 8, data: bytes = b"", next: int = 0) -> bytes:
    """An uncompressed TIFF of one strip; `next` is where its next page lies."""
    strip = 8 + 2 + 9 * 12 + 4
    deep, data = strip + len(data), data + struct.pack("<3H", bits, bits, bits)
    fields = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, samples, bits if samples == 1 else deep),
        (259, 3, 1, 1),
        (262, 3, 1, 1 if samples == 1 else 2),
        (273, 4, 1, strip),
        (277, 3, 1, samples),
        (278, 4, 1, height),
        (279, 4, 1, deep - strip),
    ]
    entries = b"".join(struct.pack("<HHII", *field) for field in fields)
    return b"II*\0" + struct.pack("<IH", 8, len(fields)) + entries + struct.pack("<I", next) + data


def bmp_bomb(width: int, height: int) -> bytes:
    content = bytearray(saved(photograph("bomb"), "BMP"))
    content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


def jpeg_bomb() -> bytes:
    content = bytearray(saved(photograph("bomb"), "JPEG"))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    return bytes(content)


def webp_bomb() -> bytes:
    content = bytearray(saved(photograph("bomb"), "WEBP", lossless=True))
    size = content.index(b"VP8L") + 9
    content[size : size + 4] = struct.pack("<I", int.from_bytes(content[size : size + 4], "little") | 0xFFFFFFF)
    return bytes(content)


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def _photographs() -> list[Case]:
    def good(name: str, format: str = "PNG", mode: str = "RGB", **how: Any) -> bytes:
        return saved(photograph(name, mode), format, **how)

    def case(name: str, content: bytes, words: str | None = None, bit_depth: int = 8) -> Case:
        return Case(name=name, content=content, words=words, bit_depth=bit_depth)

    two: dict[str, Any] = {"save_all": True, "append_images": [photograph("second")]}
    pages, palette = "holds several pictures", photograph("palette", "P")
    rotated = photograph("rotated").crop((0, 0, SIDE, 48))
    high = noise("high", SIDE, SIDE, top=4096).astype(np.uint16)
    return [
        *(case(f"good.{suffix}", good(suffix, format)) for format, suffix in SUFFIXES.items()),
        case("jpeg-named.png", good("a", "JPEG")),
        case("png-named.jpg", good("b")),
        case("webp-named.tif", good("c", "WEBP")),
        case("tiff-named.json.bmp", good("d", "TIFF")),
        *(
            case(
                f"cut-in-{part}.{suffix}",
                good(part, format)[: int(share * len(good(part, format)))],
                "cannot be decoded",
            )
            for format, suffix in SUFFIXES.items()
            for part, share in (("half", 0.5), ("end", 0.98))
        ),
        *(
            case(f"cut-in-header.{suffix}", good("header", format)[:14], "cannot be decoded")
            for format, suffix in SUFFIXES.items()
        ),
        case("no-bytes.png", b"", "the file is empty"),
        case("zeros.png", bytes(5000), "is no image"),
        case("text.png", b"part 12, line 3, no scratch\n", "is no image"),
        case("page.jpg", b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>", "is no image"),
        case("drawing.png", b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>', "is no image"),
        case("sound.webp", b"RIFF\x24\0\0\0WAVEfmt " + bytes(40), "cannot be decoded"),
        case("signature-only.png", b"\x89PNG\r\n\x1a\n" + bytes(300), "cannot be decoded"),
        case("bomb.png", png_bomb(30_000), "30000x30000 pixels|more than 64,000,000 pixels"),
        case("bomb.jpg", jpeg_bomb(), "more than 64,000,000 pixels"),
        case("bomb.bmp", bmp_bomb(2_000_000, 2_000_000), "more than 64,000,000 pixels"),
        case("wide-bomb.bmp", bmp_bomb(2**31 - 1, 64), "more than 64,000,000 pixels"),
        case("bomb.tif", tiff(10**9, 10**9, data=bytes(64)), "more than 64,000,000 pixels"),
        case("over-the-limit.tif", tiff(8001, 8000, data=bytes(64)), "8001x8000 pixels, expected at most 64,000,000"),
        case("bomb.webp", webp_bomb(), "more than 64,000,000 pixels|cannot be decoded"),
        case("text-bomb.png", _text_bomb(), "cannot be decoded"),
        case("animated.gif", good("e", "GIF", **two), "is no image"),
        case("animated.webp", good("f", "WEBP", **two), pages),
        case("animated.png", good("g", "PNG", **two), pages),
        case("pages.tif", good("h", "TIFF", **two), pages),
        case(
            "page-that-is-its-own-next.tif",
            tiff(SIDE, SIDE, data=noise("i", SIDE, SIDE).astype(np.uint8).tobytes(), next=8),
        ),
        case("phone-with-preview.jpg", good("j", "MPO", **two)),
        case("cmyk.jpg", good("k", "JPEG", "CMYK"), "colour mode CMYK"),
        case("cmyk.tif", good("l", "TIFF", "CMYK"), "colour mode CMYK"),
        case("alpha.png", good("m", mode="RGBA"), "colour mode RGBA, expected grey or RGB without transparency"),
        case("grey-alpha.png", good("n", mode="LA"), "colour mode LA, expected grey or RGB without transparency"),
        case("alpha.webp", saved(_see_through("o"), "WEBP"), "colour mode RGBA"),
        case("palette.png", saved(palette)),
        case("palette-one-clear.png", saved(palette, transparency=3), "transparency"),
        case("palette-clear.png", saved(palette, transparency=bytes(range(256))), "transparency"),
        case("clear-colour.png", good("p", transparency=(1, 2, 3)), "transparency"),
        case("deep-undeclared.png", deep_png("q", 4096), "set image.bit_depth"),
        case("deep.png", deep_png("q", 4096), bit_depth=12),
        case("deep-undeclared.tif", saved(Image.fromarray(high), "TIFF"), "set image.bit_depth"),
        case("deep.tif", saved(Image.fromarray(high), "TIFF"), bit_depth=12),
        case("deep-in-8.png", deep_png("r", 256)),
        case("deep-colour-undeclared.png", deep_png("s", 4096, colour=True), "16-bit colour"),
        case("deep-colour-12.png", deep_png("s", 4096, colour=True), "16-bit colour", bit_depth=12),
        case("deep-colour.png", deep_png("t", 65536, colour=True), bit_depth=16),
        case("deep-colour-undeclared.tif", _deep_colour_tiff(4096), "16-bit colour"),
        case("deep-colour.tif", _deep_colour_tiff(65536), bit_depth=16),
        case("float.tif", saved(Image.fromarray(noise("u", SIDE, SIDE).astype(np.float32)), "TIFF"), "floating-point"),
        case("nan.tif", saved(Image.fromarray(np.full((SIDE, SIDE), np.nan, np.float32)), "TIFF"), "floating-point"),
        case(
            "negative.tif",
            saved(Image.fromarray(noise("v", SIDE, SIDE).astype(np.int32) - 9), "TIFF"),
            "values from -9",
        ),
        *(case(f"turned-{turn}.jpg", saved(rotated, "JPEG", exif=exif(turn))) for turn in (3, 6, 8, 99)),
        case("one-pixel.png", saved(Image.new("L", (1, 1), 7)), "1x1 pixels, expected 32 to 16384"),
        case("one-row.png", saved(Image.new("L", (20_000, 1), 7)), "20000x1 pixels, expected 32 to 16384"),
        case("no-width.bmp", bmp_bomb(0, SIDE), "0x64 pixels|cannot be decoded"),
        case("black.png", saved(Image.new("RGB", (SIDE, SIDE))), "is black"),
        case("white.jpg", saved(Image.new("L", (SIDE, SIDE), 255), "JPEG"), "overexposed"),
        case("grey.webp", saved(Image.new("RGB", (SIDE, SIDE), (90, 90, 90)), "WEBP"), "one grey"),
        case("upside-down.bmp", _upside_down()),
        case("more-behind-it.png", good("w") + b"PK\x03\x04" + bytes(900)),
    ]


def _text_bomb() -> bytes:
    values = noise("text", SIDE, SIDE).astype(np.uint8)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in values))
    return png(SIDE, SIDE, 8, 0, packed, chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200_000_000), 9)))


def _see_through(name: str) -> Image.Image:
    image = photograph(name, "RGBA")
    image.putalpha(Image.fromarray(noise(name + "a", SIDE, SIDE).astype(np.uint8)))
    return image


def _deep_colour_tiff(top: int) -> bytes:
    return tiff(SIDE, SIDE, samples=3, bits=16, data=noise(f"deep{top}", top=top).astype("<u2").tobytes())


def _upside_down() -> bytes:
    content = bytearray(saved(photograph("x"), "BMP"))
    content[22:26] = struct.pack("<i", -SIDE)
    return bytes(content)


def _masks() -> list[Case]:
    marked = np.zeros((SIDE, SIDE), np.uint8)
    marked[10:20, 10:20] = 255

    def case(name: str, values: np.ndarray, words: str | None = None, mode: str = "L", **how: Any) -> Case:
        return Case(name=f"{name}.png", content=saved(Image.fromarray(values).convert(mode), **how), words=words)

    soft, inverted, deep = marked.copy(), 255 - marked, Image.fromarray(marked.astype(np.uint16) * 257)
    soft[10:20, 9] = 128
    two: dict[str, Any] = {"save_all": True, "append_images": [Image.fromarray(inverted)]}
    return [
        case("mask", marked),
        case("rgb", marked, mode="RGB"),
        case("one-bit", marked, mode="1"),
        case("opaque", marked, mode="RGBA"),
        Case(name="deep.png", content=saved(deep)),
        case("small", marked[:32, :32], "32x32 pixels, the photograph 64x64"),
        case("one-row-less", marked[1:], "64x63 pixels, the photograph 64x64"),
        case("soft-edge", soft, "grey values between 0 and 255"),
        case("ones", marked // 255, "grey values between 0 and 255"),
        Case(
            name="red.png",
            content=saved(Image.merge("RGB", [Image.fromarray(one) for one in (marked, marked * 0, marked * 0)])),
            words="grey values between 0 and 255",
        ),
        case("black", marked * 0, "marks nothing"),
        case("white", marked * 0 + 255, "marks 100% of the photograph; is it inverted"),
        case("inverted", inverted, "marks 98% of the photograph; is it inverted"),
        case("animated", marked, "several pictures", **two),
        Case(name="empty.png", content=b"", words="mask is empty"),
        Case(name="text.png", content=b"no defect", words="mask cannot be decoded"),
        Case(name="jpeg.png", content=saved(Image.fromarray(marked), "JPEG"), words="mask cannot be decoded"),
        Case(name="cut.png", content=saved(Image.fromarray(marked))[:-30], words="mask cannot be decoded"),
        Case(name="bomb.png", content=png_bomb(10_000), words="10000x10000 pixels, the photograph 64x64"),
        Case(name="large-bomb.png", content=png_bomb(30_000), words="mask has more than 64,000,000 pixels"),
    ]


def _sidecars() -> list[Case]:
    def case(name: str, content: bytes, words: str | None = None) -> Case:
        return Case(name=f"{name}.json", content=content, words=words)

    no_object, no_text = "no JSON object of at most 65,536 bytes", "is no text of at most 200 characters"
    return [
        case("whole", b'{"line": "L1", "camera": "C1", "time": "2026-11-26T08:00"}'),
        case("more", b'{"line": "L1", "exposure": [1, {"gain": 2}]}'),
        case("with-bom", b'\xef\xbb\xbf{"line": "L1"}'),
        case("utf-16", '{"line": "Straße"}'.encode("utf-16")),
        case("huge-unread", b'{"exposure": ' + b"9" * 6000 + b', "gain": 1e999, "line": "L1"}'),
        case("deep-unread", b'{"x": ' + b"[" * 200 + b"]" * 200 + b', "line": "L1"}'),
        case("no-bytes", b"", no_object),
        case("text", b"line 3", no_object),
        case("half", b'{"line": "L1"', no_object),
        case("list", b'[{"line": "L1"}]', no_object),
        case("null", b"null", no_object),
        case("deep", b'{"line": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", no_object),
        case("latin-1", '{"line": "Straße"}'.encode("latin-1"), no_object),
        case("large", b'{"line": "L1", "x": "' + b"x" * 70_000 + b'"}', "70,023 bytes, expected at most 65,536"),
        case("number", b'{"line": 3}', f"line {no_text}"),
        case("huge", b'{"line": ' + b"9" * 6000 + b"}", f"line {no_text}"),
        case("long", b'{"camera": "' + b"x" * 201 + b'"}', f"camera {no_text}"),
        case("lone-surrogate", b'{"line": "\\ud800"}', f"line {no_text}"),
        case("control", b'{"time": "08:00\\u0000\\n"}', f"time {no_text}"),
    ]


PHOTOGRAPHS, MASKS, SIDECARS = _photographs(), _masks(), _sidecars()
KEYS = [
    "two words.png",
    "100%.png",
    "%2e%2e%2fa.png",
    "a+b&c=d;e?f#g.png",
    "'\"<>|*.png",
    "Scheibe-ü.png",  # composed
    "Scheibe-u\u0308.png",  # the same to a person, decomposed
    "部品.png",
    "\U0001f529.png",
    "UPPER.PNG",
    ".hidden.png",
    "no-suffix",
    "train/good/0.png",
    "twin-1.png",
    "twin-2.png",
]
"""Below inbox/<category>/; any of them is a good photograph's, whatever the server is."""
ODD_KEYS = [
    *KEYS,
    "/slash-first.png",
    "two//slashes.png",
    "../../champion/a.png",
    "./here.png",
    "photograph.png/",
    "back\\slash.png",
    "two\x85lines.png",
    "two\u2028lines.png",
    "two\rlines.png",
    "tab\tand\x7fdelete.png",
    "x" * (1000 - len(".png")) + ".png",
    "/".join(["deep"] * 150) + ".png",
]
"""With more such keys, which S3 takes but a server that keeps its objects as files does not."""


def sent_under(key: str) -> bytes:
    """The photograph with this key: the twins' is one."""
    return saved(photograph("twin" if key.startswith("twin-") else key))
