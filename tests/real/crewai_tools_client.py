"""Kicks a crew off with crewai-tools' InvokeCrewAIAutomationTool, and prints the result that it gets.

    python crewai_tools_client.py URL TOKEN '{"budget": …}'

It runs in a separate process, so that the process that runs the tests does not import crewai.
"""

import json
import sys
from typing import Any

from crewai_tools import InvokeCrewAIAutomationTool
from pydantic import Field


def main(url: str, token: str, inputs: str) -> None:
    wanted: dict[str, Any] = json.loads(inputs)
    tool = InvokeCrewAIAutomationTool(
        crew_api_url=url,
        crew_bearer_token=token,
        crew_name="travel crew",
        crew_description="Plans a trip",
        max_polling_time=200,
        crew_inputs={name: Field(..., description=name) for name in wanted},
    )
    print(json.dumps({"result": tool.run(**wanted)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
