"""Devices that an allocation no longer uses: remembered until they have been told to stop."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from edgesplit.deploy.crew import open_crew
from edgesplit.deploy.hosts import Ask
from edgesplit.deploy.record import Record
from edgesplit.deploy.station import Station
from edgesplit.spec.cluster import Device
from edgesplit.spec.cluster_file import cluster_to_plain


def with_leaving(record: Record, before: Iterable[Record]) -> Record:
    """Return a record that names the devices of earlier ones which it doesn't use itself."""
    staying = {_place(record.devices.device(name)) for name in record.programs}
    gone: dict[str, Device] = {}
    for earlier in before:
        for device in (*_used(earlier), *earlier.left.devices):
            if _place(device) not in staying:
                gone.setdefault(device.name, device)
    return _left(record, gone.values())


def dismiss(record: Record, ask: Ask | None) -> tuple[Record, tuple[str, ...]]:
    """Stop the executors of leaving devices; return the record without them, and warnings.

    One that can't be reached stays in the record, so that the next deployment tries again.
    """
    if not record.leaving:
        return record, ()
    devices = record.left.devices
    with open_crew(devices, record.devices.name, ask) as crew:
        _, failures = crew.attempt(_retire)
    warnings = tuple(
        f"{name} is no longer used, but could not be told to stop: {error.what}"
        for name, error in failures.items()
    )
    return _left(record, [one for one in devices if one.name in failures]), warnings


def _retire(station: Station) -> None:
    if station.probe().owned:
        station.bootstrap()
        station.call("retire")


def _used(record: Record) -> list[Device]:
    return [record.devices.device(name) for name in record.programs]


def _left(record: Record, devices: Iterable[Device]) -> Record:
    left = replace(record.devices, devices=tuple(devices))
    return replace(record, leaving=cluster_to_plain(left) if left.devices else {})


def _place(device: Device) -> tuple[object, ...]:
    """Return what tells apart the folders that edgesplit has on devices."""
    return (device.connection, device.host, device.ssh.port, device.root or device.name)
