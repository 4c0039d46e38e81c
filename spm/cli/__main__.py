"""`python -m spm.cli` is the `spm` command."""

import sys

from spm.cli.main import main

sys.exit(main())
