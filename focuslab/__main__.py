"""`python -m focuslab`: what launchers of several processes start."""

from focuslab.cli import main

if __name__ == "__main__":
    main()
