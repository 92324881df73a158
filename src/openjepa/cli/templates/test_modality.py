"""NAME keeps the laws that training relies on."""

import io

import numpy as np
import pytest

from NAME import CLASS
from openjepa.doctor.conformance import check
from openjepa.modalities.modality import BadSample


def recording(channels: int = 3, steps: int = 1000) -> bytes:
    file = io.BytesIO()
    np.save(file, np.random.default_rng(0).normal(size=(channels, steps)).astype(np.float32))
    return file.getvalue()


def test_it_keeps_every_law():
    faults = [str(law) for law in check(CLASS(), files=[recording()]) if law.fault]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("data", [b"", b"words", recording(channels=2), recording(steps=10)])
def test_a_file_that_cannot_be_used_says_why(data):
    with pytest.raises(BadSample, match=r"\w"):
        CLASS().decode(data)
