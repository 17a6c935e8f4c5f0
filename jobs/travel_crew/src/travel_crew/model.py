"""Which model the agents ask: by the environment, as in any CrewAI project.

MODEL             e.g. openai/gpt-4o-mini; without it no model is asked, and `offline.py` answers
OPENAI_API_BASE   of a server that speaks OpenAI's API: a local one, or a gateway
OPENAI_API_KEY    a local server takes any
MODEL_MAX_TOKENS  of one answer; default 300
OFFLINE_SECONDS   how long the offline model takes for an answer; default 0
"""

import os

from crewai import LLM
from crewai.llms.base_llm import BaseLLM

from travel_crew.offline import OfflineModel


def chosen_model() -> BaseLLM:
    """The model that the environment names; a new object, since its token counter is one for each."""
    model = os.environ.get("MODEL")
    if not model:
        return OfflineModel(model="offline", delay_seconds=float(os.environ.get("OFFLINE_SECONDS", "0")))
    return LLM(
        model=model,
        base_url=os.environ.get("OPENAI_API_BASE"),
        api_key=os.environ.get("OPENAI_API_KEY", "not-needed"),
        temperature=0.2,
        max_tokens=int(os.environ.get("MODEL_MAX_TOKENS", "300")),
    )
