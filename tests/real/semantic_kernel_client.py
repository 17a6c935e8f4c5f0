"""Kick off a crew with the CrewAI client of semantic-kernel, and print the result.

    .venv/semantic-kernel/bin/python semantic_kernel_client.py URL TOKEN '{"budget": …}'

It runs in a separate environment (requirements-semantic-kernel.txt says why).
"""

import asyncio
import json
import sys

import aiohttp
from semantic_kernel.core_plugins.crew_ai import CrewAIEnterprise


async def main(url: str, token: str, inputs: str) -> None:
    async with aiohttp.ClientSession() as session:
        # with a session given, the client creates another one; without one, it creates none
        crew = CrewAIEnterprise(url, token, polling_interval=0.2, polling_timeout=200, session=session)
        async with crew.client:
            asked = await crew.client.get_inputs()
            kickoff_id = await crew.kickoff(json.loads(inputs))
            result = await crew.wait_for_crew_completion(kickoff_id)
            state = (await crew.get_crew_kickoff_status(kickoff_id)).state
            print(json.dumps({"inputs": sorted(asked.inputs), "result": result, "state": str(state.value)}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
