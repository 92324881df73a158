"""Files of points: npy, ply, off and text to coordinates [n 3], float64."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from openjepa.modalities.arrays import LARGEST, array_of
from openjepa.modalities.delimited import delimiter_of, is_header, matrix, split, text_of
from openjepa.modalities.modality import BadSample

PLY = {
    name: code
    for names, code in (
        ("char int8", "i1"),
        ("uchar uint8", "u1"),
        ("short int16", "i2"),
        ("ushort uint16", "u2"),
        ("int int32", "i4"),
        ("uint uint32", "u4"),
        ("float float32", "f4"),
        ("double float64", "f8"),
    )
    for name in names.split()
}


def read_points(data: bytes) -> NDArray[np.float64]:
    """Coordinates [n 3] of a file; what it is, its content tells. BadSample says why there are none."""
    if not data:
        raise BadSample("the file is empty")
    if data.startswith(b"\x93NUMPY"):
        return columns(array_of(data))
    if data.startswith((b"ply\n", b"ply\r")):
        return ply(data)
    lines = text_of(data).splitlines()
    if lines and lines[0].strip()[:3].upper() == "OFF":
        return off(lines)
    return listed(lines)


def columns(array: NDArray[np.generic]) -> NDArray[np.float64]:
    """[n 3 or more], of which the first three are taken, or [3 n]."""
    if array.ndim != 2 or (3 not in array.shape and array.shape[1] < 3):
        raise BadSample(f"an array {list(array.shape)}; points are [n 3], [3 n], or [n more] beginning with x, y, z")
    if array.shape[0] == 3 and array.shape[1] > 3:
        array = array.T
    return array[:, :3].astype(np.float64)


def listed(lines: Sequence[str]) -> NDArray[np.float64]:
    """Text with a point per line, x y z first; a header, '#' remarks and a line with the number of points may come before."""
    first = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith(("#", "//"))), len(lines))
    if first < len(lines) and lines[first].strip().isdecimal():
        first += 1  # .pts, .xyz: how many follow
    delimiter = delimiter_of(lines[first:])
    names = next((cells for _, cells in split(lines[first : first + 1], delimiter)), [])
    first += is_header(names)
    array = matrix(lines[first:], delimiter, first=first + 1)
    if array.shape[1] < 3:
        raise BadSample(f"{array.shape[1]} numbers in a line; a point has x, y and z")
    return array[:, :3]


def off(lines: Sequence[str]) -> NDArray[np.float64]:
    """Vertices of Geomview's format. The counts may stand behind OFF without a space, as in ModelNet."""
    rest = [(i, line) for i, line in enumerate([lines[0].strip()[3:], *lines[1:]], 1) if line.strip() and not line.strip().startswith("#")]
    try:
        count = int(rest[0][1].split()[0])
    except (IndexError, ValueError):
        raise BadSample("an OFF file without the number of its vertices") from None
    return vertices([line for _, line in rest[1 : 1 + max(count, 0)]], count, [0, 1, 2])


def vertices(lines: Sequence[str], count: int, where: Sequence[int]) -> NDArray[np.float64]:
    """The numbers at `where` of `count` lines."""
    if not 0 < count <= LARGEST or len(lines) < count:
        raise BadSample(f"truncated: {len(lines)} vertices, the header says {count}")
    rows = matrix(lines, " ")
    if rows.shape[1] <= max(where):
        raise BadSample(f"{rows.shape[1]} numbers in a vertex, wanted at least {max(where) + 1}")
    return rows[:, where]


def ply(data: bytes) -> NDArray[np.float64]:
    """x, y, z of the vertices of a Stanford PLY file: ascii, binary little or big endian."""
    end = data.find(b"end_header")
    body = data.find(b"\n", end) + 1
    if end < 0 or not body:
        raise BadSample("truncated: a PLY header without end_header")
    words = [line.split() for line in data[:end].decode("ascii", "replace").splitlines()]
    form = next((w[1] for w in words if w[:1] == ["format"] and len(w) > 1), "")
    marks = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
    if form not in marks:
        raise BadSample(f"PLY format {form!r}; there are {', '.join(marks)}")
    before, count, fields = layout(words, marks[form])
    names = [name for name, _ in fields]
    if not {"x", "y", "z"} <= set(names) or len(set(names)) != len(names):
        raise BadSample(f"PLY vertices with {', '.join(names)[:100] or 'nothing'}; wanted x, y and z")
    if form == "ascii":
        lines = [line for line in text_of(data[body:]).splitlines() if line.strip()]
        skipped = sum(n for n, _ in before)
        return vertices(lines[skipped : skipped + count], count, [names.index(axis) for axis in "xyz"])
    kind = np.dtype(fields)
    body += sum(n * np.dtype(f).itemsize for n, f in before)
    if not 0 < count * kind.itemsize <= len(data) - body:
        raise BadSample(f"truncated: {max(len(data) - body, 0)} bytes for {count} vertices of {kind.itemsize}")
    rows = np.frombuffer(data, kind, count, body)
    return np.stack([rows[axis].astype(np.float64) for axis in "xyz"], 1)


Fields = list[tuple[str, str]]


def layout(words: Sequence[Sequence[str]], mark: str) -> tuple[list[tuple[int, Fields]], int, Fields]:
    """Elements before the vertices (how many, their properties), how many vertices, their properties."""
    if not any(word[:2] == ["element", "vertex"] for word in words):
        raise BadSample("a PLY file without vertices")
    elements: list[tuple[str, int, Fields]] = []
    for word in words:
        if word[:1] == ["element"] and len(word) == 3 and word[2].isdecimal():
            elements.append((word[1], int(word[2]), []))
        elif word[:1] == ["property"] and elements:
            kind, name = (word[1], word[-1]) if len(word) == 3 else ("list", word[-1])
            if kind not in PLY:
                if any(e[0] == "vertex" for e in elements[:-1]):
                    break  # a list of a later element: the faces
                raise BadSample(f"PLY property of kind {kind!r} in or before the vertices")
            elements[-1][2].append((name, mark + PLY[kind]))
    at = next((i for i, e in enumerate(elements) if e[0] == "vertex"), None)
    if at is None:
        raise BadSample("a PLY header that does not say how many vertices there are")
    if any(n and len(set(f)) != len(f) for _, n, f in elements[:at]):
        raise BadSample("PLY properties of the same name")
    return [(n, f) for _, n, f in elements[:at]], elements[at][1], elements[at][2]
