"""Arrays in .npy, .npz and parquet files, without pickle and without trusting a header."""

import io
import math
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openjepa.modalities.modality import BadSample

LARGEST = 2**28  # numbers in one file; more is taken for a damaged header or a decompression bomb


def array_of(data: bytes, kinds: str = "fiub") -> NDArray[Any]:
    """The array of a .npy file: float, integer or boolean, unless `kinds` allows others.

    The size in the header is compared with what came before anything is allocated (`np.load` trusts it).
    """
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, dtype = read(file)
    except Exception as error:  # noqa: BLE001  a damaged header is a small Python program that fails in any way
        raise BadSample(f"damaged .npy header ({type(error).__name__})") from None
    if dtype.hasobject or dtype.kind not in kinds:
        raise BadSample(f"an array of {dtype}, wanted numbers (objects would need pickle, which can run code)")
    count, left = math.prod(shape), len(data) - file.tell()
    if min(shape, default=0) < 0 or count > LARGEST or count * dtype.itemsize > left:
        raise BadSample(f"truncated: {left} bytes for an array {list(shape)} of {dtype}")
    flat = np.frombuffer(data, dtype, count, file.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def arrays_of(data: bytes, kinds: str = "fiubUS") -> dict[str, NDArray[Any]]:
    """The arrays of a .npz file by name, in the file's order."""
    arrays: dict[str, NDArray[Any]] = {}
    room = 8 * LARGEST
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                with archive.open(name) as entry:
                    content = entry.read(room + 1)
                room -= len(content)
                if room < 0:
                    raise BadSample(f"decompression bomb: more than {8 * LARGEST:,} bytes")
                if name.endswith(".npy"):
                    arrays[name.removesuffix(".npy")] = array_of(content, kinds)
    except BadSample:
        raise
    except Exception as error:  # noqa: BLE001  BadZipFile, zlib.error, RuntimeError, NotImplementedError and more
        raise BadSample(f"damaged .npz ({type(error).__name__}: {error})") from None
    if not arrays:
        raise BadSample("no array in this .npz")
    return arrays


def columns_of(data: bytes) -> dict[str, list[Any]]:
    """The columns of a parquet file by name, as Python values, None where missing."""
    try:
        import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
        import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise ValueError('parquet files need pyarrow: pip install "openjepa[parquet]"') from None
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        info = file.metadata
        if info.num_rows * info.num_columns > LARGEST:
            raise BadSample(f"{info.num_rows:,} rows of {info.num_columns} columns, more than {LARGEST:,} cells")
        table = file.read(use_threads=False)
        return {name: table.column(i).to_pylist() for i, name in enumerate(table.column_names)}
    except BadSample:
        raise
    except Exception as error:  # noqa: BLE001  ArrowInvalid, OSError, UnicodeDecodeError and more
        raise BadSample(f"damaged parquet ({type(error).__name__}: {error})"[:300]) from None
