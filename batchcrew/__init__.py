"""Run deployed CrewAI crews for every row of a file. Open `runner.py` first: it reads like the data flow."""

__version__ = "0.1.0"
