"""Writes the schemas of the providers' resources that deploy/terraform uses, from packages that are generated from them.

    npm pack @cdktn/provider-aws@24.1.0 && npm pack @cdktn/provider-random@15.0.1
    python tests/deploy/providers/extract.py cdktn-provider-aws-24.1.0.tgz cdktn-provider-random-15.0.1.tgz

The packages' source maps hold their TypeScript, which says of every argument its type, whether it has to be given, and whether it
is a block. What comes out has the form of `terraform providers schema -json`, so that Terraform itself can replace this.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import tarfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

WANTED = {
    "aws": {
        "resource": [
            "db_instance",
            "db_parameter_group",
            "db_subnet_group",
            "elasticache_parameter_group",
            "elasticache_replication_group",
            "elasticache_subnet_group",
            "iam_role",
            "iam_role_policy",
            "s3_bucket",
            "s3_bucket_lifecycle_configuration",
            "s3_bucket_ownership_controls",
            "s3_bucket_policy",
            "s3_bucket_public_access_block",
            "s3_bucket_server_side_encryption_configuration",
            "s3_bucket_versioning",
            "secretsmanager_secret",
            "secretsmanager_secret_version",
            "security_group",
            "vpc_security_group_ingress_rule",
        ],
        "data": ["region"],
    },
    "random": {"resource": ["password"], "data": []},
}
GETTERS: dict[str, Any] = {
    "getStringAttribute": "string",
    "getNumberAttribute": "number",
    "getBooleanAttribute": "bool",
    "getStringMapAttribute": ["map", "string"],
    "getBooleanMapAttribute": ["map", "bool"],
    "getNumberMapAttribute": ["map", "number"],
    "getListAttribute": ["list", "string"],
    "getNumberListAttribute": ["list", "number"],
    "Fn.tolist(this.getListAttribute": ["set", "string"],
    "Fn.tolist(this.getNumberListAttribute": ["set", "number"],
}
_PROPERTY = re.compile(
    r"// (?P<name>\w+) - computed: (?P<computed>\w+), optional: (?P<optional>\w+), required: (?P<required>\w+)\n"
    r"\s*(?:public get|private)(?P<rest>.*?)(?=\n\s*// \w+ - computed|\n\s*// =====|\Z)",
    re.DOTALL,
)
_NESTED = re.compile(r'new (?P<type>\w+?)(?P<kind>OutputReference|List|Map)\(this, "\w+"(?:, (?P<set>true|false))?\)')
_GETTER = re.compile(r"return (?:cdktn\.|this\.|token)*(?P<getter>(?:Fn\.tolist\(this\.)?get\w+Attribute)\('\w+'\)")
_SYNTHESIZED = re.compile(
    r"(?P<name>\w+): \{\n\s*value: [^\n]*\n\s*isBlock: (?P<block>true|false),\n\s*type: \"(?P<type>\w+)\",\n\s*storageClassType"
)


def source(package: tarfile.TarFile, path: str) -> str:
    file = package.extractfile(f"package/lib/{path}/index.js")
    assert file is not None, path
    encoded = file.read().decode().rpartition("base64,")[2].strip()
    (text,) = json.loads(base64.b64decode(encoded))["sourcesContent"]
    return text


class Module:
    """The TypeScript of one resource."""

    def __init__(self, text: str) -> None:
        self.classes = {
            match[1]: match[3]
            for match in re.finditer(r"export class (\w+) extends cdktn\.(\w+) \{(.*?\n)\}\n", text, re.DOTALL)
            if match[2] != "ComplexList" and match[2] != "ComplexMap"
        }
        self.functions = {
            match[1].lower(): match[2]
            for match in re.finditer(r"export function (\w+)ToHclTerraform\(.*?\n\}", text, re.DOTALL)
            for match in [re.match(r"export function (\w+)ToHclTerraform(.*)", match[0], re.DOTALL)]
            if match is not None
        }

    def block(self, class_name: str, synthesized: str) -> dict[str, Any]:
        given = {m["name"]: m for m in _SYNTHESIZED.finditer(synthesized)}
        attributes: dict[str, Any] = {}
        blocks: dict[str, Any] = {}
        for found in _PROPERTY.finditer(self.classes[class_name]):
            name = found["name"]
            says = {word: True for word in ("required", "optional", "computed") if found[word] == "true"}
            nested = _NESTED.search(found["rest"])
            if "new cdktn.StringMap(" in found["rest"]:
                attributes[name] = {"type": ["map", "string"], **says}
                continue
            if nested is None:
                getter = _GETTER.search(found["rest"])
                assert getter is not None, (class_name, name, found["rest"][:300])
                attributes[name] = {"type": GETTERS[getter["getter"]], **says}
                continue
            inner = self.block(f"{nested['type']}OutputReference", self.functions[nested["type"].lower()])
            alone = nested["kind"] == "OutputReference"
            mode = given[name]["type"] if name in given else "set" if nested["set"] == "true" else "list"
            if found["computed"] == "true" and mode != "struct":
                attributes[name] = {"type": [mode, as_type(inner)], **says}
            else:
                blocks[name] = {"nesting_mode": "single" if mode == "struct" else mode, "block": inner}
                blocks[name] |= {"min_items": 1} if found["required"] == "true" else {}
                blocks[name] |= {"max_items": 1} if alone and mode != "struct" else {}
        return {"attributes": attributes} | ({"block_types": blocks} if blocks else {})

    def schema(self, class_name: str) -> dict[str, Any]:
        body = self.classes[class_name]
        block = self.block(class_name, body[body.index("synthesizeHclAttributes") :])
        # Every resource has an id. The packages leave it out where their own base class has it.
        block["attributes"].setdefault("id", {"type": "string", "computed": True})
        return {"version": 0, "block": {**block, "attributes": dict(sorted(block["attributes"].items()))}}


def as_type(block: dict[str, Any]) -> list[Any]:
    assert "block_types" not in block
    return ["object", {name: attribute["type"] for name, attribute in block["attributes"].items()}]


def extracted(archive: Path) -> tuple[str, dict[str, Any]]:
    with tarfile.open(archive) as package:
        manifest = package.extractfile("package/package.json")
        assert manifest is not None
        about = json.loads(manifest.read())
        provider = about["cdktf" if "cdktf" in about else "cdktn"]["provider"]
        name = provider["name"].rpartition("/")[2]
        schemas: dict[str, Any] = {}
        for kind, prefix in (("resource", ""), ("data", f"data-{name}-")):
            schemas[kind] = {}
            for short in WANTED[name][kind]:
                text = source(package, prefix + short.replace("_", "-"))
                (wanted,) = re.findall(r"export class (\w+) extends cdktn\.(?:TerraformResource|TerraformDataSource) ", text)
                schemas[kind][f"{name}_{short}"] = Module(text).schema(wanted)
    return name, {
        "from": f"{about['name']} {about['version']}, {about['license']}, {about['repository']['url']}",
        "version": provider["version"],
        "format_version": "1.0",
        "provider_schemas": {provider["name"]: {"resource_schemas": schemas["resource"], "data_source_schemas": schemas["data"]}},
    }


if __name__ == "__main__":
    for given in sys.argv[1:]:
        name, found = extracted(Path(given))
        (HERE / f"{name}.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
        print(f"{name} {found['version']}")
