"""The program of a worker process, which runs in the project's own interpreter, from Python 3.10 on.

It imports only the standard library and the project's CrewAI; `entry.py` starts it, and `crewai_versions.py` has what
differs between the versions of CrewAI. What it imports from other packages of batchcrew does so too.
"""
