"""The program of a worker process. Only `loader.py`, `listeners.py` and `crewai_patches.py` import CrewAI."""
