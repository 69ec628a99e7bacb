#!/usr/bin/env python
from shop.__main__ import main

if __name__ == "__main__":
    main()
