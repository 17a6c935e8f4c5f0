"""What a worker process does. `loader.py`, `listeners.py` and `crewai_patches.py` are all that know CrewAI."""
