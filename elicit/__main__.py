"""`python -m elicit` is `elicit`."""

from elicit.cli import main

if __name__ == "__main__":
    main()
