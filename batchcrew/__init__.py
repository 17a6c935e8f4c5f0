"""Run deployed CrewAI crews for every row of a file, without losing a job or paying for one twice.

The program `batchcrew` is the public interface; there is no Python API yet. docs/architecture.md describes the
packages.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
