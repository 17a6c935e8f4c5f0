"""`python -m batchcrew`."""

from batchcrew.cli import main

if __name__ == "__main__":
    main()
