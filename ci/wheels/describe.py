"""What is inside a wheel, in the wheel: licences (PEP 639) and a bill of materials (PEP 770)."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.builder.this import this_component
from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component as BomComponent
from cyclonedx.model.component import ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from wheels.libraries import Component

_OWN_LICENCE = "Apache-2.0"
_EXPRESSION = re.compile(r"^License-Expression: .*$", re.MULTILINE)
_LAST_LICENCE_FILE = re.compile(r"(?:^License-File: .*\n)+", re.MULTILINE)


def describe(dist_info: Path, components: Sequence[Component], epoch_s: int) -> None:
    """Adds them to an unpacked wheel's .dist-info."""
    files = []
    for component in components:
        name = f"{component.name}-LICENSE.txt"
        (dist_info / "licenses" / name).write_bytes(component.licence.read_bytes())
        files.append(f"License-File: {name}\n")
    metadata = dist_info / "METADATA"
    text = metadata.read_text()
    expression = " AND ".join([_OWN_LICENCE, *sorted({part.spdx for part in components})])
    text = _EXPRESSION.sub(f"License-Expression: {expression}", text, count=1)
    text = _LAST_LICENCE_FILE.sub(lambda found: found[0] + "".join(files), text, count=1)
    metadata.write_text(text)
    version = re.search(r"^Version: (.*)$", text, re.MULTILINE)
    assert version is not None
    boms = dist_info / "sboms"
    boms.mkdir()
    (boms / "barnabas.cdx.json").write_text(bill_of_materials(version[1], components, epoch_s))


def bill_of_materials(version: str, components: Sequence[Component], epoch_s: int) -> str:
    """A CycloneDX document; the same for the same components."""
    licences = LicenseFactory()
    whole = BomComponent(
        name="barnabas",
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref="barnabas",
        licenses=[licences.make_from_string(_OWN_LICENCE)],
        purl=PackageURL("pypi", name="barnabas", version=version),
    )
    parts = [
        BomComponent(
            name=part.name,
            version=part.version,
            type=ComponentType.LIBRARY,
            bom_ref=part.name,
            licenses=[licences.make_from_string(part.spdx)],
            purl=PackageURL.from_string(part.purl),
        )
        for part in components
    ]
    bom = Bom(components=parts, serial_number=uuid5(NAMESPACE_URL, f"barnabas-{version}"))
    bom.metadata.timestamp = datetime.fromtimestamp(epoch_s, UTC)
    bom.metadata.component = whole
    bom.metadata.tools.components.add(this_component())
    bom.register_dependency(whole, parts)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"
