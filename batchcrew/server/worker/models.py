"""Lists the language models that a crew calls, and their hosts, from the library's objects; never their keys."""

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from batchcrew.base.crew_details import ModelDetails

_KEYS: Mapping[str, tuple[str, ...]] = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "claude": ("ANTHROPIC_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "google": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "azure": ("AZURE_API_KEY", "AZURE_OPENAI_API_KEY"),
    "azure_openai": ("AZURE_API_KEY", "AZURE_OPENAI_API_KEY"),
    "openrouter": ("OPENROUTER_API_KEY",),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "groq": ("GROQ_API_KEY",),
    "mistral": ("MISTRAL_API_KEY",),
    "cohere": ("COHERE_API_KEY",),
    "cerebras": ("CEREBRAS_API_KEY",),
    "dashscope": ("DASHSCOPE_API_KEY",),
    "xai": ("XAI_API_KEY",),
    "perplexity": ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
    "together_ai": ("TOGETHERAI_API_KEY", "TOGETHER_API_KEY"),
    "fireworks_ai": ("FIREWORKS_AI_API_KEY", "FIREWORKS_API_KEY"),
    "nvidia_nim": ("NVIDIA_NIM_API_KEY",),
    "huggingface": ("HF_TOKEN", "HUGGINGFACE_API_KEY"),
}
"""The variables that the library, or litellm, reads a provider's key from; one of them is enough."""
_ADDRESSES: Mapping[str, tuple[str, ...]] = {
    "openai": ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    "anthropic": ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE"),
    "azure": ("AZURE_ENDPOINT", "AZURE_OPENAI_ENDPOINT", "AZURE_API_BASE"),
    "ollama": ("OLLAMA_HOST", "OLLAMA_API_BASE"),
}
_HOSTS: Mapping[str, str] = {
    "openai": "api.openai.com",
    "anthropic": "api.anthropic.com",
    "gemini": "generativelanguage.googleapis.com",
    "openrouter": "openrouter.ai",
    "deepseek": "api.deepseek.com",
    "groq": "api.groq.com",
    "mistral": "api.mistral.ai",
    "cohere": "api.cohere.com",
    "cerebras": "api.cerebras.ai",
    "xai": "api.x.ai",
    "ollama": "localhost:11434",
}
_LOCAL = ("localhost", "127.0.0.1", "[::1]", "0.0.0.0")  # noqa: S104 - known, not listened on
_OF_CREW = {
    "manager_llm": "manager",
    "planning_llm": "planning",
    "function_calling_llm": "function calling",
    "chat_llm": "chat",
}


def models_of(crew: Any) -> list[ModelDetails]:
    """Return the models of a crew, each once, with what calls them."""
    calls: list[tuple[Any, str]] = []
    for agent in getattr(crew, "agents", None) or ():
        role = _text(getattr(agent, "role", ""))
        calls += [(getattr(agent, "llm", None), role), (getattr(agent, "function_calling_llm", None), role)]
    manager = getattr(crew, "manager_agent", None)
    calls.append((getattr(manager, "llm", None), "manager"))
    calls += [(getattr(crew, name, None), word) for name, word in _OF_CREW.items()]
    found: dict[tuple[str, str, str], ModelDetails] = {}
    for model, who in calls:
        if model is None:
            continue
        one = describe_model(model)
        key = (one.name, one.provider, one.host)
        users = found[key].used_by if key in found else ()
        found[key] = ModelDetails(
            name=one.name,
            provider=one.provider,
            host=one.host,
            key=one.key,
            key_is_set=one.key_is_set,
            used_by=users if who in users else (*users, who),
        )
    return list(found.values())


def describe_model(model: Any) -> ModelDetails:
    """Return what is known about a model: the library's object, or its name as text."""
    name = model if isinstance(model, str) else _text(getattr(model, "model", "")) or type(model).__name__
    if not isinstance(model, str) and not type(model).__module__.startswith("crewai."):
        return ModelDetails(name=name, provider=f"class {type(model).__name__}")  # the project's: it may call anything
    before, slash, _ = name.partition("/")
    provider = _text(getattr(model, "provider", "")) or (before if slash else "openai")
    host = _host(model, provider)
    keys = _KEYS.get(provider.lower(), ())
    local = host.startswith(_LOCAL)
    has_key = bool(getattr(model, "api_key", None)) or any(os.environ.get(key) for key in keys)
    return ModelDetails(
        name=name, provider=provider, host=host, key=keys[0] if keys and not local else "", key_is_set=has_key
    )


def _host(model: Any, provider: str) -> str:
    named = [getattr(model, name, None) for name in ("base_url", "api_base", "endpoint")]
    named += [os.environ.get(name) for name in _ADDRESSES.get(provider.lower(), ())]
    for address in named:
        if isinstance(address, str) and address.strip():
            return host_of(address.strip())
    return _HOSTS.get(provider.lower(), "")


def host_of(address: str) -> str:
    """Return the host and port of a URL, without a user name, a password, a path or a query."""
    try:
        place = urlsplit(address if "://" in address else f"//{address}").netloc
    except ValueError:
        return ""
    return place.rpartition("@")[2]


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
