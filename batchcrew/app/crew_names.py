"""Recognize crews whose name or address in the job file has changed, by the addresses that they ever had."""

from collections.abc import Iterable, Mapping, Sequence

from batchcrew.crew import crew_address
from batchcrew.jobfile import JobFile
from batchcrew.ledger import Reading


async def crew_groups(ledger: Reading, jobfile: JobFile) -> dict[str, str]:
    """Map the names of each crew to a common one; names belong to one crew if they share an address, now or earlier.

    A name that the job file no longer has may have changed more than once, and its address in between.
    """
    now = {name: crew_address(crew) for name, crew in jobfile.crews.items()}
    groups: dict[str, str] = {}
    for name, address in now.items():
        first = next(other for other, its in now.items() if its == address)
        if first != name:
            groups[name] = first
    addresses = {name: set(known) for name, known in (await ledger.recorded_crews(jobfile.batch)).items()}
    for name, known in (await ledger.crew_addresses(jobfile.batch)).items():
        addresses.setdefault(name, set()).update(known)
    for name in addresses.keys() - now.keys():
        same = _name_now(name, now, addresses)
        if same is not None:
            groups[name] = groups.get(same, same)
    return groups


def _name_now(name: str, now: Mapping[str, str], addresses: Mapping[str, set[str]]) -> str | None:
    """Return which crew of the job file had this name before; None: none of them.

    Args:
        name: a name that the job file no longer has.
        now: the address of each crew of the job file.
        addresses: every address that each name ever had.
    """
    reached, seen = [name], {name}
    for former in reached:
        its = addresses[former]
        same = sorted(other for other, address in now.items() if address in its)
        same += sorted(other for other in now if not its.isdisjoint(addresses.get(other, ())))
        if same:
            return same[0]
        further = sorted(other for other in addresses if other not in seen and not its.isdisjoint(addresses[other]))
        reached += further
        seen.update(further)
    return None


async def renamed_crews(
    ledger: Reading, jobfile: JobFile, addresses: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    """Return the present names of crews whose former names the job file no longer has.

    Only a crew that has had that address qualifies, so that a token is never sent to a host that was not named for it.

    Args:
        addresses: (former name, address) of executions in progress.
    """
    crews = with_addresses(await ledger.recorded_crews(jobfile.batch), jobfile)
    renamed = {}
    for former, address in addresses:
        names = [name for name in jobfile.crews if address in crews[name]]
        if former not in jobfile.crews and names:
            renamed[former, address] = names[0]
    return renamed


def with_addresses(recorded: Mapping[str, Sequence[str]], jobfile: JobFile) -> dict[str, list[str]]:
    """Return the recorded addresses of each crew, with the address that the job file gives as its latest one."""
    crews = {name: list(addresses) for name, addresses in recorded.items()}
    for name, crew in jobfile.crews.items():
        address = crew_address(crew)
        crews[name] = [*(known for known in crews.get(name, ()) if known != address), address]
    return crews
