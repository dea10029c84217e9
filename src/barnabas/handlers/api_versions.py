"""ApiVersions (API key 18), versions 0-4: what this broker serves, from the registry (KIP-35).

The answer's header is always version 0, so that a client of any age can read it; a version that is
not served is answered by the broker loop. Version 3 brought the client's software name and features
(KIP-511, KIP-584), version 4 features whose lowest level is 0 (KIP-1022).
"""

import re
from functools import cache
from typing import Any, Final

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call
from barnabas.protocol.apis import APIS

FINALIZED_FEATURES_EPOCH: Final = 1
"""Features are finalized once, when the cluster is made; 0 was before there were transactions."""

# By name: the highest level served, which is the one in force. Level 0 means without the feature
# (`group.version` 0: the classic group protocol alone) and is not listed as in force.
FEATURE_LEVELS: Final = {"group.version": 0, "transaction.version": 2}
_FIRST_VERSION_WITH_LEVEL_0: Final = 4

_SOFTWARE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")


def handle(call: Call) -> bytes:
    """Lists the APIs and features."""
    if call.version >= 3:
        name, version = call.request.client_software_name, call.request.client_software_version
        if not (_SOFTWARE.fullmatch(name) and _SOFTWARE.fullmatch(version)):
            return call.response(error_code=ErrorCode.invalid_request)
    return call.response(
        error_code=ErrorCode.none,
        api_keys=_api_keys(),
        supported_features=_supported_features(call.version),
        finalized_features_epoch=FINALIZED_FEATURES_EPOCH,
        finalized_features=_finalized_features(),
    )


@cache
def _api_keys() -> list[dict[str, Any]]:
    return [
        {"api_key": api.key, "min_version": api.min_version, "max_version": api.max_version}
        for api in APIS
    ]


def _supported_features(version: int) -> list[dict[str, Any]]:
    if version < _FIRST_VERSION_WITH_LEVEL_0:
        return []
    return [
        {"name": name, "min_version": 0, "max_version": level}
        for name, level in FEATURE_LEVELS.items()
    ]


@cache
def _finalized_features() -> list[dict[str, Any]]:
    return [
        {"name": name, "max_version_level": level, "min_version_level": level}
        for name, level in FEATURE_LEVELS.items()
        if level
    ]
