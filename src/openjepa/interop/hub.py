"""A path as it is; an id such as facebook/ijepa_vith14_1k from the Hugging Face hub."""

import re
from pathlib import Path

ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def fetched(name: str) -> Path:
    """The path of a file or folder that is there, or the downloaded folder of a hub id.

    ValueError says why there is neither, and what to do without the hub.
    """
    path = Path(name)
    if path.exists() or not ID.fullmatch(name):
        return path
    alone = f"download it elsewhere and give its folder: hf download {name} --local-dir {path.name}"
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise ValueError(
            f"no file or folder {name}; if it is an id of the Hugging Face hub, pip install 'openjepa[hub]', or {alone}"
        ) from None
    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.bin"]))
    except (LocalEntryNotFoundError, OSError) as error:
        if isinstance(error, HfHubHTTPError):
            raise ValueError(
                f"the Hugging Face hub has no {name} that you may read ({error.response.status_code}); check the id, or {alone}"
            ) from None
        raise ValueError(f"no file or folder {name}, and the Hugging Face hub cannot be reached; {alone}") from None
