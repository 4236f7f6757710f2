"""Rows in goosebit's database that its own API does not make.

goosebit takes uploads of SWUpdate and RAUC files alone. This puts a signed image of ours where an upload would be,
through goosebit's own models, and tells what goosebit's database says in the end. Where that database lies, goosebit's
environment variables tell.
"""

import asyncio
import hashlib
import json
import pathlib
import sys

from goosebit.db.config import TORTOISE_CONF
from goosebit.db.models import Device, Hardware, Rollout, Software
from tortoise import Tortoise


async def tables(controller: str, token: str) -> None:
    """Make the tables, and one device that is known by its token."""
    await Tortoise.generate_schemas()
    hardware = await Hardware.create(model="default", revision="default")
    await Device.create(id=controller, auth_token=token, hardware=hardware)


async def software(version: str, path: str, model: str) -> None:
    """Register a file as the software of that version for a model of hardware; print its id."""
    file = pathlib.Path(path).resolve()
    data = file.read_bytes()
    hardware, _ = await Hardware.get_or_create(model=model, revision="default")
    row = await Software.create(uri=file.as_uri(), size=len(data), hash=hashlib.sha1(data).hexdigest(), version=version)
    await row.compatibility.add(hardware)
    print(row.id)


async def show(controller: str) -> None:
    """Print what the database says of a device and of the rollouts."""
    device = await Device.get(id=controller).prefetch_related("hardware")
    rollouts = await Rollout.all().order_by("id")
    print(
        json.dumps(
            {
                "state": str(device.last_state),
                "version": device.sw_version,
                "model": device.hardware.model,
                "progress": device.progress,
                "log": device.last_log,
                "rollouts": [{"success": r.success_count, "failure": r.failure_count} for r in rollouts],
            }
        )
    )


async def main(verb: str, *args: str) -> None:
    """Do one of the above."""
    await Tortoise.init(config=TORTOISE_CONF)
    try:
        await {"tables": tables, "software": software, "show": show}[verb](*args)
    finally:
        await Tortoise.close_connections()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
