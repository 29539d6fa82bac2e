"""The trusted certificates that the environment names: a file that is gone would end in a traceback."""

import os
from pathlib import Path

from cli.ending import BadInput

SETTINGS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # as requests reads them: the first that is set counts


def must_be_there() -> None:
    """BadInput when the file or folder that is named is not there, as after the end of a lab."""
    setting = next((name for name in SETTINGS if os.environ.get(name)), None)
    if setting is not None and not Path(os.environ[setting]).exists():
        raise BadInput(
            f"{setting} names {os.environ[setting]}, which is not there, so no https server can be trusted: "
            f"unset {setting}, or name a file with certificates (a lab that has ended took its own away)"
        )
